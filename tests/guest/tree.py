"""A small root file system, as a directory on the host and as a cpio archive for the guest."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

TIME = 1_600_000_000


class Entry(NamedTuple):
    """One file; a directory comes before what is in it."""

    path: str
    mode: int
    content: bytes = b""  # of a regular file; the target of a symbolic link
    time: int = TIME
    same_as: str = ""  # path of an earlier file that this is another name of


def directory(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, stat.S_IFDIR | mode)


def regular(path: str, content: bytes, mode: int = 0o644, time: int = TIME) -> Entry:
    return Entry(path, stat.S_IFREG | mode, content, time)


def symlink(path: str, target: str) -> Entry:
    return Entry(path, stat.S_IFLNK | 0o777, os.fsencode(target))


def hard_link(path: str, same_as: str) -> Entry:
    return Entry(path, 0, same_as=same_as)


def make_directory(root: Path, entries: Sequence[Entry]) -> None:
    """Make the tree in an empty directory, in order."""
    for entry in entries:
        path = root / entry.path
        if entry.same_as:
            os.link(root / entry.same_as, path, follow_symlinks=False)
        elif stat.S_ISDIR(entry.mode):
            path.mkdir()
        elif stat.S_ISLNK(entry.mode):
            path.symlink_to(os.fsdecode(entry.content))
        else:
            path.write_bytes(entry.content)
        if not stat.S_ISLNK(entry.mode) and not entry.same_as:
            path.chmod(stat.S_IMODE(entry.mode))
    for entry in reversed(entries):
        if not entry.same_as:
            os.utime(root / entry.path, (entry.time, entry.time), follow_symlinks=False)
    root.chmod(0o755)
    os.utime(root, (TIME, TIME))


def make_archive(entries: Sequence[Entry]) -> bytes:
    """Return the tree as a cpio archive (newc), in the same order."""
    archive = member(".", stat.S_IFDIR | 0o755, number=1, links=2)
    numbers = {entry.path: number for number, entry in enumerate(entries, 2)}
    by_path = {entry.path: entry for entry in entries}
    for entry in entries:
        original = by_path[entry.same_as] if entry.same_as else entry
        names = sum(other.same_as == original.path for other in entries) + 1
        archive += member(
            entry.path,
            original.mode,
            # As archivers do, with the last name only.
            original.content if _is_last_name(entry, original, entries) else b"",
            number=numbers[original.path],
            links=names,
            time=original.time,
        )
    return archive + member("TRAILER!!!", 0)


def _is_last_name(entry: Entry, original: Entry, entries: Sequence[Entry]) -> bool:
    names = [e for e in entries if e == original or e.same_as == original.path]
    return names[-1] == entry


def member(
    path: str,
    mode: int,
    data: bytes = b"",
    *,
    number: int = 0,
    links: int = 1,
    time: int = TIME,
    device: tuple[int, int] = (0, 0),
    magic: bytes = b"070701",
) -> bytes:
    """Return one member of an archive."""
    name = os.fsencode(path) + b"\0"
    fields = (number, mode, 0, 0, links, time, len(data), 0, 0, *device, len(name), 0)
    header = magic + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
