"""Placement gives each byte of RAM away once, and says what is in the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.boot.placement import Placement
from vmm.errors import UsageError
from vmm.images.file import ImageFile
from vmm.memory import Gpa, GuestMemory

PAGE = 0x1000
LOW, HIGH = 0x1_0000, 0x10_0000  # two regions of RAM
SIZE = 16 * PAGE


@pytest.fixture(scope="module")
def memory() -> Iterator[GuestMemory]:
    with GuestMemory([(Gpa(LOW), SIZE), (Gpa(HIGH), SIZE)]) as memory:
        yield memory


def in_ram(start: int, end: int) -> bool:
    return any(base <= start and end <= base + SIZE for base in (LOW, HIGH))


REQUESTS = st.lists(
    st.tuples(
        st.none() | st.integers(LOW - PAGE, LOW + SIZE + PAGE) | st.integers(HIGH, HIGH + SIZE),
        st.integers(1, 6 * PAGE),
    ),
    max_size=12,
)


@given(requests=REQUESTS)
def test_pieces_are_in_ram_and_disjoint(
    memory: GuestMemory, requests: list[tuple[int | None, int]]
) -> None:
    placement = Placement(memory)
    taken: set[int] = set()
    for gpa, length in requests:
        try:
            if gpa is None:
                start = placement.take_high(length, "thing")
                assert start % PAGE == 0
            else:
                start = placement.take(gpa, length, "thing")
                assert start == gpa
        except UsageError:
            if gpa is not None:
                piece = set(range(gpa, gpa + length))
                assert not in_ram(gpa, gpa + length) or piece & taken
            else:
                # Nowhere is there a page-aligned place.
                for base in (LOW, HIGH):
                    for page in range(base, base + SIZE, PAGE):
                        free = taken.isdisjoint(range(page, page + length))
                        assert not (in_ram(page, page + length) and free)
            continue
        piece = set(range(start, start + length))
        assert in_ram(start, start + length)
        assert taken.isdisjoint(piece)
        taken |= piece


@given(length=st.integers(1, SIZE), below=st.integers(0, HIGH + 2 * SIZE))
def test_high_is_as_high_as_it_can_be(memory: GuestMemory, length: int, below: int) -> None:
    places = [
        page
        for base in (LOW, HIGH)
        for page in range(base, base + SIZE, PAGE)
        if in_ram(page, page + length) and page + length <= below
    ]
    placement = Placement(memory)
    if places:
        assert placement.take_high(length, "thing", below=below) == max(places)
    else:
        with pytest.raises(UsageError, match="no room for the thing"):
            placement.take_high(length, "thing", below=below)


def test_messages_name_both_pieces_and_the_ram(memory: GuestMemory) -> None:
    placement = Placement(memory)
    placement.take(LOW, PAGE, "kernel")
    with pytest.raises(UsageError, match=r"the GDT at 0x10800\.\.0x10810 overlaps the kernel"):
        placement.take(LOW + 0x800, 0x10, "GDT")
    with pytest.raises(UsageError, match=r"the page at 0x1000\.\.0x2000 is not in RAM: RAM is at"):
        placement.take(0x1000, PAGE, "page")


def test_files_are_read_to_their_places(memory: GuestMemory, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    file = ImageFile(str(tmp_path / "file"))
    placement = Placement(memory)
    placement.load(file, 2, 5, LOW, "segment", size=PAGE)
    assert memory.read(LOW, 5) == b"23456"
    with pytest.raises(UsageError, match="overlaps the segment"):
        placement.take(LOW + 0x800, 1, "byte")
    (tmp_path / "file").write_bytes(b"01")
    with pytest.raises(UsageError, match="became shorter"):
        placement.load(file, 2, 5, HIGH, "segment")
    file.close()
    start = placement.load_initrd(str(tmp_path / "file"), below=HIGH)
    assert start == (LOW + SIZE - PAGE, LOW + SIZE - PAGE + 2)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="must be a file that is not empty"):
        placement.load_initrd(str(tmp_path / "file"))
    assert placement.load_initrd(None) is None
