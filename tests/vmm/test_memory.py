"""Guest RAM: bounds, sharing, files, the end of its life."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.descriptors import open_descriptors
from vmm.errors import GuestMemoryError, UsageError
from vmm.memory import PAGE_SIZE, Gpa, GuestMemory, RamRegion

LOW = 0x10_0000
HIGH = 0x1_0000_0000
SIZE = 4 * PAGE_SIZE


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    with GuestMemory([(Gpa(LOW), SIZE), (Gpa(HIGH), SIZE)]) as ram:
        yield ram


def test_ram_starts_as_zeros(memory: GuestMemory) -> None:
    assert memory.size == 2 * SIZE
    assert memory.read(LOW, SIZE) == bytes(SIZE)


def test_regions_follow_each_other_in_the_backing_file(memory: GuestMemory) -> None:
    assert memory.regions == (RamRegion(Gpa(LOW), SIZE, 0), RamRegion(Gpa(HIGH), SIZE, SIZE))
    assert memory.regions[1].end == HIGH + SIZE
    memory.write(HIGH + 3, b"abc")
    assert os.pread(memory.fd, 3, SIZE + 3) == b"abc"


def test_another_mapping_of_the_descriptor_shares_the_pages(memory: GuestMemory) -> None:
    with mmap.mmap(memory.fd, memory.size) as other:
        other[5:8] = b"xyz"
        assert memory.read(LOW + 5, 3) == b"xyz"


def test_a_view_is_writable_and_shares_the_pages(memory: GuestMemory) -> None:
    memory.view(LOW + 16, 4)[:] = b"1234"
    assert memory.read(LOW + 15, 6) == b"\x001234\x00"


def test_words_are_little_endian(memory: GuestMemory) -> None:
    memory.write(LOW, bytes(range(1, 9)))
    assert memory.read_u16(LOW) == 0x0201
    assert memory.read_u32(LOW) == 0x0403_0201
    assert memory.read_u64(LOW) == 0x0807_0605_0403_0201
    memory.write_u32(LOW, 0xA1A2_A3A4)
    memory.write_u64(LOW + 8, 0xB1B2_B3B4_B5B6_B7B8)
    assert memory.read(LOW, 16).hex() == "a4a3a2a105060708b8b7b6b5b4b3b2b1"


def test_any_buffer_of_bytes_can_be_written(memory: GuestMemory) -> None:
    memory.write(LOW, memoryview(bytearray(b"abcd")).cast("H"))
    assert memory.read(LOW, 4) == b"abcd"


@given(gpa=st.integers(-(2**65), 2**65), length=st.integers(-(2**33), 2**65))
def test_nothing_outside_ram_can_be_reached(gpa: int, length: int) -> None:
    inside = length >= 0 and any(b <= gpa and gpa + length <= b + SIZE for b in (LOW, HIGH))
    with GuestMemory([(Gpa(LOW), SIZE), (Gpa(HIGH), SIZE)]) as memory:
        assert memory.contains(gpa, length) == inside
        if inside:
            assert len(memory.view(gpa, length)) == length
        else:
            with pytest.raises(GuestMemoryError):
                memory.view(gpa, length)


@pytest.mark.parametrize(
    ("gpa", "length", "inside"),
    [
        (LOW, SIZE, True),
        (LOW, SIZE + 1, False),
        (LOW - 1, 2, False),
        (LOW + SIZE, 0, True),
        (LOW + SIZE, 1, False),
        (HIGH + SIZE - 1, 1, True),
        (LOW, -1, False),
        (0, 1, False),
    ],
)
def test_the_edges_of_ram(memory: GuestMemory, gpa: int, length: int, inside: bool) -> None:
    assert memory.contains(gpa, length) == inside
    if inside:
        memory.view(gpa, length)
    else:
        with pytest.raises(GuestMemoryError, match="not inside RAM"):
            memory.view(gpa, length)


def test_a_word_across_the_end_is_refused(memory: GuestMemory) -> None:
    for access in (memory.read_u32, memory.read_u64):
        with pytest.raises(GuestMemoryError):
            access(LOW + SIZE - 2)


def test_adjacent_regions_are_still_two() -> None:
    with GuestMemory([(Gpa(0), PAGE_SIZE), (Gpa(PAGE_SIZE), PAGE_SIZE)]) as memory:
        assert not memory.contains(PAGE_SIZE - 1, 2)


def test_a_file_is_loaded_in_place(memory: GuestMemory, tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"0123456789")
    with file.open("rb") as image:
        assert memory.load_file(image.fileno(), LOW + 1, 4, offset=3) == 4
        assert memory.load_file(image.fileno(), LOW + 16, 100, offset=8) == 2
    assert memory.read(LOW, 6) == b"\x003456\x00"
    assert memory.read(LOW + 16, 3) == b"89\x00"


def test_a_file_is_never_loaded_past_the_end_of_ram(memory: GuestMemory, tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(bytes(2 * SIZE))
    with file.open("rb") as image, pytest.raises(GuestMemoryError):
        memory.load_file(image.fileno(), LOW, SIZE + 1)


def test_close_gives_the_descriptor_back_and_may_be_repeated() -> None:
    memory = GuestMemory([(Gpa(0), PAGE_SIZE)])
    descriptor = memory.fd
    memory.close()
    memory.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_views_outlive_the_memory() -> None:
    memory = GuestMemory([(Gpa(0), PAGE_SIZE)])
    view = memory.view(0, 4)
    memory.write(0, b"data")
    memory.close()
    assert bytes(view) == b"data"


def test_discarded_pages_go_back_to_the_host_and_are_zeros(memory: GuestMemory) -> None:
    memory.write(HIGH, b"#" * SIZE)
    before = os.fstat(memory.fd).st_blocks
    memory.discard(HIGH + PAGE_SIZE, 2 * PAGE_SIZE)
    assert os.fstat(memory.fd).st_blocks == before - 2 * PAGE_SIZE // 512
    middle = bytes(2 * PAGE_SIZE)
    assert memory.read(HIGH, SIZE) == b"#" * PAGE_SIZE + middle + b"#" * PAGE_SIZE
    with pytest.raises(GuestMemoryError):
        memory.discard(HIGH + SIZE - PAGE_SIZE, 2 * PAGE_SIZE)


@pytest.mark.parametrize(
    "ranges",
    [
        [],
        [(0, 0)],
        [(0, -PAGE_SIZE)],
        [(1, PAGE_SIZE)],
        [(0, PAGE_SIZE + 1)],
        [(0, 2 * PAGE_SIZE), (PAGE_SIZE, PAGE_SIZE)],
        [(PAGE_SIZE, PAGE_SIZE), (0, PAGE_SIZE)],
    ],
)
def test_ranges_that_make_no_sense_are_refused(ranges: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="RAM"):
        GuestMemory([(Gpa(base), size) for base, size in ranges])


@pytest.mark.parametrize("size", [1 << 62, 1 << 80])
def test_more_ram_than_the_host_can_map_is_a_clear_error(size: int) -> None:
    descriptors = open_descriptors()
    with pytest.raises(UsageError, match="give it less memory"):
        GuestMemory([(Gpa(0), size)])
    assert open_descriptors() == descriptors


def test_memory_that_is_dropped_leaves_no_file_open() -> None:
    before = open_descriptors()
    memory = GuestMemory([(Gpa(0), 4096)])
    assert len(open_descriptors()) > len(before)
    del memory
    assert open_descriptors() == before
