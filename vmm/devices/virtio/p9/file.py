"""An open file or directory of the host, which a guest reads and writes through its number."""

from __future__ import annotations

import os
import stat
from errno import EMFILE, ENOTDIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    # Name, identity and d_type.
    Entry = tuple[bytes, int, int]

# d_type of directory entries.
DT_DIR: Final = 4
DT_REG: Final = 8
DT_LNK: Final = 10


class SharedFile:
    """An open file. All methods raise `OSError` for what the host does or forbids."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        """Take over ``fd``."""
        self._fd = fd

    def close(self) -> None:
        """Close it; once."""
        os.close(self._fd)

    def stat(self) -> os.stat_result:
        """Return its attributes, though it may have lost its name."""
        return os.fstat(self._fd)

    def read(self, views: Sequence[memoryview], offset: int) -> int:
        """Fill ``views`` with what is at ``offset``; return the number of bytes."""
        return os.preadv(self._fd, views, offset)

    def write(self, views: Sequence[memoryview], offset: int) -> int:
        """Write ``views`` at ``offset``; return the number of bytes."""
        return os.pwritev(self._fd, views, offset)

    def truncate(self, length: int) -> None:
        """Set its length."""
        os.ftruncate(self._fd, length)

    def sync(self) -> None:
        """Bring what was written to stable storage."""
        os.fsync(self._fd)

    def entries(self, most: int) -> list[Entry]:
        """Return what is in a directory, itself and its parent first.

        EMFILE if that is more than ``most``, ENOTDIR if it is none.
        """
        status = os.fstat(self._fd)
        if not stat.S_ISDIR(status.st_mode):
            raise OSError(ENOTDIR, os.strerror(ENOTDIR))
        device = status.st_dev
        own = identity(device, status.st_ino)
        found = [(b".", own, DT_DIR), (b"..", own, DT_DIR)]
        with os.scandir(self._fd) as listing:
            for entry in listing:
                number = identity(device, entry.inode())
                found.append((os.fsencode(entry.name), number, _type_of(entry)))
                if len(found) > most:
                    raise OSError(EMFILE, os.strerror(EMFILE))
        return found


def identity(device: int, inode: int) -> int:
    """Return the number by which a client tells files apart.

    Files of other file systems that are mounted inside may have the same inode numbers.
    """
    return (inode ^ device << 44) & 0xFFFF_FFFF_FFFF_FFFF


def _type_of(entry: os.DirEntry[str]) -> int:
    if entry.is_dir(follow_symlinks=False):
        return DT_DIR
    return DT_LNK if entry.is_symlink() else DT_REG
