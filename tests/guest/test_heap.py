"""The kernel's heap against a dictionary of byte strings."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.guest.hostlib import FREE, ffi, memory

REGIONS = [(1 << 20, 4096, FREE)]
CLASSES = 15

SIZES = st.integers(0, 2100) | st.sampled_from([4031, 4032, 4033, 10_000, 70_000])
STEPS = st.lists(
    st.tuples(st.sampled_from(["malloc", "calloc"]), SIZES, st.just(0))
    | st.tuples(st.just("free"), st.just(0), st.integers(0, 99))
    | st.tuples(st.just("realloc"), SIZES, st.integers(0, 99)),
    max_size=80,
)


def fill(pointer: Any, size: int, seed: int) -> bytes:
    pattern = bytes((seed + i) % 251 for i in range(min(size, 64))) * (size // 64 + 1)
    ffi.memmove(pointer, pattern[:size], size)
    return pattern[:size]


def read(pointer: Any, size: int) -> bytes:
    return bytes(ffi.buffer(pointer, size))


@given(STEPS)
def test_objects_keep_their_content(steps: list[tuple[str, int, int]]) -> None:
    with memory(REGIONS) as lib:
        objects: list[tuple[Any, bytes]] = []
        for number, (what, size, index) in enumerate(steps):
            if what in ("malloc", "calloc"):
                pointer = lib.kmalloc(size) if what == "malloc" else lib.kcalloc(1, size)
                assert pointer
                assert int(ffi.cast("uintptr_t", pointer)) % 16 == 0
                assert lib.kmalloc_usable(pointer) >= size
                if what == "calloc":
                    assert read(pointer, size) == bytes(size)
                objects.append((pointer, fill(pointer, size, number)))
            elif objects:
                pointer, expected = objects.pop(index % len(objects))
                assert read(pointer, len(expected)) == expected
                if what == "free":
                    lib.kfree(pointer)
                    continue
                pointer = lib.krealloc(pointer, size)
                kept = min(size, len(expected))
                assert read(pointer, kept) == expected[:kept]
                objects.append((pointer, fill(pointer, size, number)))
        for pointer, expected in objects:
            assert read(pointer, len(expected)) == expected
            lib.kfree(pointer)
        # One empty slab of each size may stay.
        assert lib.frame_statistics().used <= CLASSES


def test_exhaustion_gives_null_and_everything_comes_back() -> None:
    with memory([(1 << 20, 300, FREE)]) as lib:
        objects = []
        while pointer := lib.kmalloc(1000):
            objects.append(pointer)
        assert len(objects) > 1000
        assert not lib.kmalloc(100_000)
        for pointer in objects:
            lib.kfree(pointer)
        assert lib.frame_statistics().used == 1
        assert lib.kmalloc(100_000)


def test_sizes_that_overflow_are_refused() -> None:
    with memory(REGIONS) as lib:
        assert not lib.kmalloc(2**64 - 1)
        assert not lib.kmalloc(2**40)
        assert not lib.kcalloc(2**33, 2**33)
        assert not lib.krealloc(ffi.NULL, 2**64 - 64)


def test_large_objects_return_what_they_do_not_need() -> None:
    with memory(REGIONS) as lib:
        pointer = lib.kmalloc(5 * 4096)
        assert lib.frame_statistics().used == 6
        lib.kfree(pointer)
        assert lib.frame_statistics().used == 0
