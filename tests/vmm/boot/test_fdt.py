"""Device trees: what is written is what `dtc` and an independent reader find."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vmm.boot.fdt_reader import Read, read_fdt
from vmm.boot.fdt import Node, flatten, reg

needs_dtc = pytest.mark.skipif(
    shutil.which("dtc") is None, reason="dtc (package device-tree-compiler) is not installed"
)

PROPERTY_NAMES = st.from_regex(r"[a-z][a-z0-9,._+?-]{0,12}", fullmatch=True).map("vmm,".__add__)
NODE_NAMES = st.from_regex(r"[a-z][a-z0-9,._+-]{0,10}", fullmatch=True)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
CELLS = st.integers(0, (1 << 32) - 1)
# dtc writes NUL as \0 even where a digit follows, which then reads as a longer octal escape.
VALUES = st.one_of(
    TEXTS,
    st.lists(TEXTS, min_size=1, max_size=4),
    CELLS,
    st.lists(CELLS, max_size=6).map(tuple),
    st.binary(max_size=11),
).filter(lambda content: not re.search(rb"\0[0-7]", as_bytes(content)))
PROPERTIES = st.dictionaries(PROPERTY_NAMES, VALUES, max_size=5)
U64 = st.integers(0, (1 << 64) - 1)


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> Node:
    """A tree as a board could write it: buses with addressable children, and plain nodes."""
    root = Node("", {"#address-cells": 2, "#size-cells": 2, **draw(PROPERTIES)})
    _add_children(draw, root, depth, bus=True)
    return root


def _add_children(draw: st.DrawFn, parent: Node, depth: int, bus: bool) -> None:
    names = draw(st.lists(NODE_NAMES, max_size=3, unique=True)) if depth else []
    starts = draw(st.lists(U64, min_size=len(names), max_size=len(names), unique=True))
    for name, start in zip(names, starts, strict=True):
        addressed = bus and draw(st.booleans())
        if addressed:
            size = draw(st.integers(1, 1 << 40))
            child = parent.add(f"{name}@{start:x}", {"reg": reg((start, size))})
        else:
            child = parent.add(name)
        _add_children(draw, child, depth - 1, bus=addressed)
        if any("@" in grandchild.name for grandchild in child.children):
            child.properties |= {"#address-cells": 2, "#size-cells": 2, "ranges": ()}
        child.properties |= draw(PROPERTIES)


def as_read(node: Node) -> Read:
    """The tree as its bytes should be read."""
    return Read(
        {name: as_bytes(content) for name, content in node.properties.items()},
        {child.name: as_read(child) for child in node.children},
    )


def as_bytes(content: str | list[str] | int | tuple[int, ...] | bytes) -> bytes:
    match content:
        case bytes():
            return content
        case str():
            return content.encode() + b"\0"
        case list():
            return ("\0".join(content) + "\0").encode()
        case int():
            return struct.pack(">I", content)
    return b"".join(struct.pack(">I", cell) for cell in content)


def dtc(blob: bytes, source: str, output: str) -> bytes:
    """Run dtc over ``blob``; any warning fails the test."""
    command = ["dtc", "-I", source, "-O", output]
    result = subprocess.run(command, input=blob, capture_output=True, check=False)
    assert (result.returncode, result.stderr.decode()) == (0, "")
    return result.stdout


@given(root=trees(), boot_cpu=CELLS, reserved=st.lists(st.tuples(U64, st.integers(1, 1 << 30))))
def test_reads_back(root: Node, boot_cpu: int, reserved: list[tuple[int, int]]) -> None:
    blob = read_fdt(flatten(root, boot_cpu, reserved))
    assert blob.root == as_read(root)
    assert blob.boot_cpu == boot_cpu
    assert blob.reserved == reserved


@needs_dtc
@settings(max_examples=50)
@given(root=trees())
def test_dtc_accepts_without_warnings_and_reads_the_same(root: Node) -> None:
    source = dtc(flatten(root), "dtb", "dts")
    # Compiling dtc's text again gives a blob of dtc's own making, with the same tree in it.
    assert read_fdt(dtc(source, "dts", "dtb")).root == as_read(root)


def test_order_is_kept() -> None:
    root = Node("", {"b": 1, "a": 2})
    root.add("z")
    root.add("y")
    read = read_fdt(flatten(root)).root
    assert list(read.properties) == ["b", "a"]
    assert list(read.children) == ["z", "y"]


def test_each_property_name_is_stored_once() -> None:
    root = Node("", {"compatible": "a"})
    root.add("child", {"compatible": "b"})
    assert flatten(root).count(b"compatible\0") == 1


def test_reg_splits_into_cells() -> None:
    assert reg((0x1_2345_6789, 0x10), (2, 3)) == (1, 0x2345_6789, 0, 0x10, 0, 2, 0, 3)


@pytest.mark.parametrize("cell", [-1, 1 << 32])
def test_cells_that_do_not_fit_are_refused(cell: int) -> None:
    with pytest.raises(ValueError, match="property clock-frequency"):
        flatten(Node("", {"clock-frequency": cell}))
