"""Reads flattened device trees, strictly, for tests (Devicetree Specification 0.4, chapter 5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field


@dataclass
class Read:
    """A node as it was found: raw property values, children by name."""

    properties: dict[str, bytes] = field(default_factory=dict)
    children: dict[str, Read] = field(default_factory=dict)

    def find(self, path: str) -> Read:
        """The node at ``path``, for example ``/cpus/cpu@0``."""
        node = self
        for name in path.strip("/").split("/"):
            node = node.children[name]
        return node

    def cells(self, name: str) -> list[int]:
        data = self.properties[name]
        return list(struct.unpack(f">{len(data) // 4}I", data))

    def strings(self, name: str) -> list[str]:
        data = self.properties[name]
        assert data.endswith(b"\0")
        return [text.decode() for text in data[:-1].split(b"\0")]


@dataclass
class Blob:
    root: Read
    boot_cpu: int
    reserved: list[tuple[int, int]]


def read_fdt(blob: bytes) -> Blob:
    (
        magic,
        total,
        structure,
        strings,
        reservations,
        version,
        compatible,
        boot_cpu,
        strings_size,
        structure_size,
    ) = struct.unpack_from(">10I", blob)
    assert magic == 0xD00DFEED
    assert total == len(blob)
    assert (version, compatible) == (17, 16)
    assert reservations % 8 == structure % 4 == structure_size % 4 == 0
    assert 40 <= reservations < structure
    assert structure + structure_size <= strings
    assert strings + strings_size <= total

    reserved = []
    position = reservations
    while (entry := struct.unpack_from(">QQ", blob, position)) != (0, 0):
        reserved.append(entry)
        position += 16
    assert position + 16 <= structure

    reader = _Structure(
        blob[structure : structure + structure_size], blob[strings : strings + strings_size]
    )
    return Blob(reader.read(), boot_cpu, reserved)


class _Structure:
    def __init__(self, data: bytes, strings: bytes) -> None:
        self.data = data
        self.strings = strings
        self.position = 0

    def read(self) -> Read:
        assert self._token() == 1
        name, root = self._node()
        assert name == ""
        assert self._token() == 9
        assert self.position == len(self.data)
        return root

    def _node(self) -> tuple[str, Read]:
        end = self.data.index(0, self.position)
        name = self.data[self.position : end].decode("ascii")
        self._skip_to(end + 1)
        node = Read()
        while (token := self._token()) != 2:
            if token == 1:
                child_name, child = self._node()
                assert child_name not in node.children
                node.children[child_name] = child
                continue
            assert token == 3
            assert not node.children, "properties come before children"
            length, offset = struct.unpack_from(">II", self.data, self.position)
            start = self.position + 8
            property_name = self.strings[offset : self.strings.index(0, offset)].decode("ascii")
            assert property_name not in node.properties
            node.properties[property_name] = self.data[start : start + length]
            assert start + length <= len(self.data)
            self._skip_to(start + length)
        return name, node

    def _token(self) -> int:
        (token,) = struct.unpack_from(">I", self.data, self.position)
        self.position += 4
        return int(token)

    def _skip_to(self, position: int) -> None:
        padding = self.data[position : position + -position % 4]
        assert not any(padding)
        self.position = position + len(padding)
