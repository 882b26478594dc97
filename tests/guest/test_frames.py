"""The frame allocator against a model that knows every frame."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.guest.hostlib import BOOT, FREE, KERNEL, PAGE, RESERVED, ZEROED_RAM, ffi, memory

NONE = 2**64 - 1
ZEROED = 1
MIB = 1 << 20

Regions = list[tuple[int, int, int]]


@st.composite
def region_lists(draw: st.DrawFn) -> Regions:
    """Regions with holes of all sizes; the first can hold the allocator's records."""
    regions = []
    at = draw(st.sampled_from([0, 1, 300, 1 << 18])) * PAGE
    pages = st.integers(1, 40) | st.sampled_from([512, 1024, 1500])
    count = draw(st.integers(1, 6))
    for index in range(count):
        kind = FREE if index == 0 else draw(st.sampled_from([FREE, FREE, KERNEL, RESERVED]))
        length = draw(pages) + (64 if index == 0 else 0)
        regions.append((at, length, kind))
        at += (length + draw(st.sampled_from([0, 0, 3, 700]))) * PAGE
    return regions


ORDERS = st.integers(0, 5) | st.sampled_from([8, 9, 10, 11])
STEPS = st.lists(
    st.tuples(st.just("take"), ORDERS, st.booleans())
    | st.tuples(st.just("free"), st.integers(0, 99), st.just(False)),
    max_size=60,
)


def free_frames(regions: Regions) -> set[int]:
    """Numbers of all frames in FREE regions."""
    return {
        address // PAGE + index
        for address, pages, kind in regions
        if kind == FREE
        for index in range(pages)
    }


def content(lib: Any, block: int, order: int) -> memoryview:
    start = ffi.cast("char *", lib.host_direct_map + block)
    return memoryview(ffi.buffer(start, PAGE << order)).cast("B")


def take(lib: Any, taken: dict[int, int], usable: set[int], order: int, zeroed: bool) -> None:
    block = lib.frame_allocate(order, ZEROED if zeroed else 0)
    if block == NONE:
        return
    assert block % (PAGE << order) == 0
    frames = set(range(block // PAGE, (block // PAGE) + (1 << order)))
    assert frames <= usable
    usable -= frames
    taken[block] = order
    if zeroed:
        assert not any(content(lib, block, order))
    content(lib, block, order)[:] = b"\xa5" * (PAGE << order)


@given(region_lists(), STEPS, st.sampled_from([0, ZEROED_RAM]))
@example([(0x1000, 1300, FREE)], [("take", 10, True), ("take", 0, True)], ZEROED_RAM)
def test_gives_each_frame_once_and_takes_all_back(
    regions: Regions, steps: list[tuple[str, int, bool]], features: int
) -> None:
    with memory(regions, features) as lib:
        usable = free_frames(regions)
        total = lib.frame_statistics().total
        assert total <= len(usable)
        taken: dict[int, int] = {}
        for what, number, zeroed in steps:
            if what == "take":
                take(lib, taken, usable, number, zeroed)
            elif taken:
                block = sorted(taken)[number % len(taken)]
                order = taken.pop(block)
                lib.frame_free(block, order)
                usable |= set(range(block // PAGE, block // PAGE + (1 << order)))
            assert lib.frame_statistics().used == sum(1 << order for order in taken.values())
        for block, order in taken.items():
            lib.frame_free(block, order)
        assert lib.frame_statistics().used == 0
        usable = free_frames(regions)
        count = 0
        while lib.frame_allocate(0, 0) != NONE:
            count += 1
        assert count == total


def test_merges_neighbours_into_the_largest_blocks() -> None:
    with memory([(0, 64, FREE), (2 * MIB, 1024, FREE)]) as lib:
        frames = []
        while (block := lib.frame_allocate(0, 0)) != NONE:
            frames.append(block)
        for block in frames[::2] + frames[1::2]:
            lib.frame_free(block, 0)
        # The last of two chunks of 2 MiB; the first holds the allocator's records.
        assert lib.frame_allocate(9, 0) == 4 * MIB
        assert lib.frame_allocate(9, 0) == NONE
        assert lib.frame_allocate(8, 0) == 3 * MIB


def test_crumbs_come_last_and_large_blocks_stay_whole() -> None:
    with memory([(MIB, 64, FREE), (2 * MIB, 1024, FREE)]) as lib:
        singles = [lib.frame_allocate(0, 0) for _ in range(500)]
        assert all(2 * MIB <= block < 4 * MIB for block in singles)
        whole = lib.frame_allocate(9, 0)
        assert whole == 4 * MIB
        rest = [lib.frame_allocate(0, 0) for _ in range(64)]
        assert any(MIB <= block < 2 * MIB for block in rest)
        assert NONE not in rest


def test_without_whole_chunks_crumbs_are_used_at_once() -> None:
    with memory([(0, 300, FREE), (3 * MIB, 200, FREE)]) as lib:
        total = lib.frame_statistics().total
        blocks = {lib.frame_allocate(0, 0) for _ in range(total)}
        assert NONE not in blocks
        assert lib.frame_allocate(0, 0) == NONE


def test_sixty_four_gigabytes_cost_as_little_as_two_megabytes() -> None:
    regions = [(MIB, 255, FREE), (2 * MIB, (64 << 30) // PAGE, FREE)]
    with memory(regions) as lib:
        assert lib.frame_allocate(0, ZEROED) != NONE
        written = bytes(content(lib, 2 * MIB, 9)).rstrip(b"\0")
        # Of the records of 32768 chunks, only those are written of chunks that hold the records
        # (8 MiB of them), and of the first behind.
        assert len(written) < 2048


def test_added_frames_are_cleared_when_that_is_asked() -> None:
    with memory([(MIB, 2, FREE), (3 * MIB, 8, BOOT)]) as lib:
        assert lib.frame_allocate(0, 0) != NONE
        assert lib.frame_allocate(0, 0) == NONE
        content(lib, 3 * MIB, 3)[:] = b"\xff" * (8 * PAGE)
        lib.frames_add((3 * MIB, 3 * MIB + 8 * PAGE))
        block = lib.frame_allocate(3, ZEROED)
        assert block == 3 * MIB
        assert not any(content(lib, block, 3))
