"""Writes cpio archives of the form newc, as Linux reads them (initramfs buffer format)."""

from __future__ import annotations


class Archive:
    """An archive, file by file."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0

    def directory(self, name: str) -> None:
        self._add(name, 0o040755, b"")

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        self._add(name, 0o100000 | mode, content)

    def symlink(self, name: str, target: str) -> None:
        self._add(name, 0o120777, target.encode())

    def build(self) -> bytes:
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self._parts)

    def _add(self, name: str, mode: int, content: bytes) -> None:
        self._inode += 1
        path = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        for part in (header, content):
            self._parts.append(part + bytes(-len(part) % 4))
