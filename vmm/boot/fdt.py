"""Flattened device trees (Devicetree Specification 0.4, chapter 5), version 17, big-endian.

root = Node("", {"#address-cells": 2, "#size-cells": 2, "compatible": "linux,dummy-virt"})
root.add("memory@40000000", {"device_type": "memory", "reg": reg((0x4000_0000, 64 << 20))})
blob = flatten(root)
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    # A string; strings; one cell; cells, where () is the empty value of a flag; raw bytes.
    Property = str | list[str] | int | tuple[int, ...] | bytes

MAGIC: Final = 0xD00D_FEED
VERSION: Final = 17
# The oldest version whose readers understand this one.
COMPATIBLE_VERSION: Final = 16

BEGIN_NODE: Final = 1
END_NODE: Final = 2
PROP: Final = 3
END: Final = 9

# magic, totalsize, off_dt_struct, off_dt_strings, off_mem_rsvmap, version, last_comp_version,
# boot_cpuid_phys, size_dt_strings, size_dt_struct
HEADER: Final = Struct(">10I")
# address, size; the list ends with zeros
RESERVATION: Final = Struct(">QQ")

_TOKEN: Final = Struct(">I")
_PROPERTY: Final = Struct(">III")  # PROP, length, offset of the name

_MASK_32: Final = 0xFFFF_FFFF


class Node:
    """A node of the tree.

    Attributes:
        name: with its unit address; empty for the root.
        properties: by name, in order.
        children: in order.
    """

    def __init__(self, name: str, properties: Mapping[str, Property] | None = None) -> None:
        self.name = name
        self.properties: dict[str, Property] = dict(properties or {})
        self.children: list[Node] = []

    def add(self, name: str, properties: Mapping[str, Property] | None = None) -> Node:
        """Append a child and return it."""
        child = Node(name, properties)
        self.children.append(child)
        return child


def reg(*ranges: tuple[int, int]) -> tuple[int, ...]:
    """Return the cells of (address, size) pairs under two address and two size cells."""
    cells: list[int] = []
    for address, size in ranges:
        cells += [address >> 32, address & _MASK_32, size >> 32, size & _MASK_32]
    return tuple(cells)


def flatten(root: Node, boot_cpu: int = 0, reserved: Iterable[tuple[int, int]] = ()) -> bytes:
    """Return the tree as a blob.

    Args:
        root: the root node.
        boot_cpu: ``reg`` of the processor that boots.
        reserved: (address, size) of memory that nobody may use.

    Raises:
        ValueError: if a cell does not fit 32 bits.
    """
    reservations = b"".join([RESERVATION.pack(*entry) for entry in (*reserved, (0, 0))])
    strings = _Strings()
    structure: list[bytes] = []
    _flatten_node(root, structure, strings)
    structure.append(_TOKEN.pack(END))
    body = b"".join(structure)

    body_offset = HEADER.size + len(reservations)
    strings_offset = body_offset + len(body)
    header = HEADER.pack(
        MAGIC,
        strings_offset + len(strings.block),
        body_offset,
        strings_offset,
        HEADER.size,
        VERSION,
        COMPATIBLE_VERSION,
        boot_cpu,
        len(strings.block),
        len(body),
    )
    return header + reservations + body + strings.block


class _Strings:
    """The strings block: each property name once."""

    def __init__(self) -> None:
        self.block = b""
        self._offsets: dict[str, int] = {}

    def offset(self, name: str) -> int:
        offset = self._offsets.get(name)
        if offset is None:
            offset = self._offsets[name] = len(self.block)
            self.block += name.encode("ascii") + b"\0"
        return offset


def _flatten_node(node: Node, structure: list[bytes], strings: _Strings) -> None:
    structure.append(_TOKEN.pack(BEGIN_NODE) + _pad(node.name.encode("ascii") + b"\0"))
    for name, content in node.properties.items():
        data = _encode(name, content)
        structure.append(_PROPERTY.pack(PROP, len(data), strings.offset(name)) + _pad(data))
    for child in node.children:
        _flatten_node(child, structure, strings)
    structure.append(_TOKEN.pack(END_NODE))


def _encode(name: str, content: Property) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode() + b"\0"
    if isinstance(content, list):
        return b"".join([text.encode() + b"\0" for text in content])
    cells = (content,) if isinstance(content, int) else content
    for cell in cells:
        if not 0 <= cell <= _MASK_32:
            raise ValueError(f"property {name}: {cell:#x} does not fit a cell of 32 bits")
    return b"".join([_TOKEN.pack(cell) for cell in cells])


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
