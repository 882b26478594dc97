"""The reader of device trees: what it finds in the board's, and that no tree makes it stray."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.guest.hostlib import ffi, kernel
from vmm.boot.fdt import Node, flatten, reg

LIBC = ctypes.CDLL(None, use_errno=True)
BROKEN = -1

UART = (0x1_0900_0000, 0x1000)
GIC = [(0x800_0000, 0x1_0000), (0x80A_0000, 0x2_0000)]


def make_tree() -> bytes:
    root = Node("", {"#address-cells": 2, "#size-cells": 2, "compatible": "calypso,board"})
    root.add("memory@40000000", {"device_type": "memory", "reg": reg((0x4000_0000, 64 << 20))})
    root.add("intc@8000000", {"compatible": ["arm,gic-v3"], "reg": reg(*GIC)})
    root.add("pl011@9000000", {"reg": reg(UART), "compatible": ["arm,pl011", "arm,primecell"]})
    bus = root.add("bus", {"#address-cells": 1, "#size-cells": 0, "compatible": "simple-bus"})
    bus.add("clock@7", {"compatible": "a,clock", "reg": (7,)})
    root.add("cpus", {"#address-cells": 3, "#size-cells": 1}).add(
        "cpu@0", {"compatible": "arm,cpu", "reg": (0, 0, 1, 1)}
    )
    root.add("flag", {"compatible": "arm,pl011"})
    return flatten(root)


TREE = make_tree()


@contextmanager
def at_the_end_of_memory(blob: bytes) -> Iterator[Any]:
    """The bytes, with a page behind them that must not be touched."""
    size = (len(blob) + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
    memory = mmap.mmap(-1, size + mmap.PAGESIZE)
    memory[size - len(blob) : size] = blob
    base = ffi.cast("char *", ffi.from_buffer(memory))
    address = int(ffi.cast("uintptr_t", base)) + size
    assert LIBC.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, 0) == 0
    yield base + size - len(blob)


def find(blob: bytes, compatible: str) -> list[tuple[int, int]] | None:
    ranges = ffi.new("struct device_range[]", 8)
    with at_the_end_of_memory(blob) as start, kernel() as lib:
        count = lib.tree_ranges(start, len(blob), compatible.encode(), ranges, 8)
    if count == BROKEN:
        return None
    return [(ranges[i].base, ranges[i].length) for i in range(count)]


def test_devices_are_found_by_what_they_are_compatible_with() -> None:
    # The one without registers has no range.
    assert find(TREE, "arm,pl011") == [UART]
    assert find(TREE, "arm,primecell") == [UART]
    assert find(TREE, "arm,gic-v3") == GIC
    assert find(TREE, "arm,pl01") == []
    assert find(TREE, "no,such-device") == []


def test_cells_are_those_of_the_parent() -> None:
    assert find(TREE, "a,clock") == [(7, 0)]
    # Three cells are no address of ours.
    assert find(TREE, "arm,cpu") == []


@given(st.lists(st.tuples(st.integers(0, len(TREE) - 1), st.integers(0, 255)), max_size=12))
def test_changed_bytes_do_no_harm(changes: list[tuple[int, int]]) -> None:
    blob = bytearray(TREE)
    for position, byte in changes:
        blob[position] = byte
    find(bytes(blob), "arm,pl011")


@given(st.integers(0, len(TREE) - 1))
@example(0)
@example(39)
def test_a_tree_that_was_cut_is_broken_or_whole(length: int) -> None:
    # Cut behind the structure block only the strings are missing; before it, everything.
    assert find(TREE[:length], "arm,pl011") in (None, [UART])


@given(st.binary(max_size=200))
def test_anything_else_is_broken(blob: bytes) -> None:
    assert find(blob, "arm,pl011") is None
