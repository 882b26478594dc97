"""Programs inside the cpio archive that becomes the root file system.

The form is newc (Linux, initramfs buffer format): 110 bytes of header with fields in hexadecimal,
name and content, each padded to four bytes; the name ``TRAILER!!!`` ends it.
"""

from __future__ import annotations

import os
from stat import S_ISLNK, S_ISREG

from vmm.images.elf import MAGIC
from vmm.images.file import ImageFile, memory_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    # Mode, offset and length of the content.
    Member = tuple[int, int, int]

NEWC: Final = b"070701"

_HEADER_LENGTH: Final = 110
_FIELD: Final = 8
_MODE, _SIZE, _NAME_LENGTH = 1, 6, 11  # fields by number, after the magic
_TRAILER: Final = "TRAILER!!!"

# As Linux's MAXSYMLINKS.
_MAX_LINKS: Final = 40


def open_archived(archive: str, name: str) -> ImageFile | None:
    """Return the ELF file that a machine with this root file system has as ``name``.

    None if there is none: if ``name`` is not absolute, or the archive is compressed or damaged
    before it. Messages about the file begin with ``name``.

    Raises:
        UsageError: if the archive cannot be read.
    """
    if not name.startswith("/"):
        return None
    file = ImageFile(archive)
    try:
        member = _resolve(file, dict(_members(file)), name)
        if member is None or not S_ISREG(member[0]):
            return None
        content = os.pread(file.fd, member[2], member[1])
    finally:
        file.close()
    return memory_file(name, content) if content.startswith(MAGIC) else None


def _members(file: ImageFile) -> Iterator[tuple[str, Member]]:
    at = 0
    while at + _HEADER_LENGTH <= file.size:
        header = os.pread(file.fd, _HEADER_LENGTH, at)
        try:
            mode, size, length = [_field(header, i) for i in (_MODE, _SIZE, _NAME_LENGTH)]
        except ValueError:
            return
        if not header.startswith(NEWC) or not 0 < length <= file.size:
            return
        name = os.fsdecode(os.pread(file.fd, length - 1, at + _HEADER_LENGTH))
        if name == _TRAILER:
            return
        content = at + _HEADER_LENGTH + length + 3 & -4
        if not 0 <= size <= file.size - content:
            return
        yield os.path.normpath("/" + name).lstrip("/"), (mode, content, size)
        at = content + size + 3 & -4


def _field(header: bytes, number: int) -> int:
    start = len(NEWC) + number * _FIELD
    return int(header[start : start + _FIELD], 16)


def _resolve(file: ImageFile, members: dict[str, Member], name: str) -> Member | None:
    """Follow symbolic links from the archive's root; ".." there stays there."""
    done: list[str] = []
    rest = name.split("/")[::-1]
    member: Member | None = None
    links = 0
    while rest:
        word = rest.pop()
        if word in ("", "."):
            continue
        if word == "..":
            del done[-1:]
            continue
        member = members.get("/".join([*done, word]))
        if member is None:
            return None
        if not S_ISLNK(member[0]):
            done.append(word)
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        target = os.fsdecode(os.pread(file.fd, member[2], member[1]))
        if target.startswith("/"):
            done.clear()
        rest += target.split("/")[::-1]
    return member
