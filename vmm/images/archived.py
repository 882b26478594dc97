"""The cpio archive that becomes the root file system, and programs inside it.

The form is newc (Linux, initramfs buffer format): 110 bytes of header with fields in hexadecimal,
name and content, each padded to four bytes; the name ``TRAILER!!!`` ends it.
"""

from __future__ import annotations

import os
from stat import S_ISLNK, S_ISREG

from vmm.errors import UsageError
from vmm.images.elf import MAGIC
from vmm.images.file import ImageFile, memory_file
from vmm.images.image import LINUX_PROGRAM, UNKNOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    # Mode, offset and length of the content.
    Member = tuple[int, int, int]

# Without and with checksums, which nobody checks.
NEWC: Final = (b"070701", b"070702")

_MAGIC_LENGTH: Final = 6
_HEADER_LENGTH: Final = 110
_FIELD: Final = 8
_MODE, _SIZE, _NAME_LENGTH = 1, 6, 11  # fields by number, after the magic
_TRAILER: Final = "TRAILER!!!"

# As Linux's MAXSYMLINKS.
_MAX_LINKS: Final = 40


def open_archive(path: str) -> ImageFile:
    """Return an archive as the guest's kernel gets it: unpacked where it is compressed.

    Raises:
        UsageError: if it cannot be read, is damaged, or is no archive.
    """
    file = ImageFile(path)
    try:
        if file.size == 0:
            raise UsageError(f"{path}: an initrd must be a file that is not empty")
        if _is_compressed(file):
            from vmm.images.compressed import unpack

            packed, file = file, memory_file(path, unpack(file))
            packed.close()
        if not file.head.startswith(NEWC):
            raise UsageError(
                f"{path} is not a cpio archive of format newc: make one with"
                " 'find . | cpio -o -H newc'; it may be compressed"
            )
    except BaseException:
        file.close()
        raise
    return file


def _is_compressed(file: ImageFile) -> bool:
    if file.head.startswith(NEWC):
        return False
    from vmm.images.compressed import is_packed

    return is_packed(file)


def open_archived(archive: str, name: str) -> ImageFile | None:
    """Return the ELF file that a machine with this root file system has as ``name``.

    None if there is none: if ``name`` is not absolute, the archive is none or damaged before it,
    or is compressed and ``name`` is a kernel on this host, for which it need not be unpacked.
    Messages about the file begin with ``name``.

    Raises:
        UsageError: if the archive cannot be read or unpacked.
    """
    if not name.startswith("/"):
        return None
    file = ImageFile(archive)
    try:
        if _is_compressed(file):
            if _is_kernel(name):
                return None
            file.close()
            file = open_archive(archive)
        member = _resolve(file, dict(_members(file)), name)
        if member is None or not S_ISREG(member[0]):
            return None
        content = os.pread(file.fd, member[2], member[1])
    finally:
        file.close()
    return memory_file(name, content) if content.startswith(MAGIC) else None


def _is_kernel(path: str) -> bool:
    from vmm.images.recognise import open_image

    if not os.path.isfile(path):
        return False
    with open_image(path) as image:
        return image.kind not in (LINUX_PROGRAM, UNKNOWN)


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
    start = _MAGIC_LENGTH + number * _FIELD
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
