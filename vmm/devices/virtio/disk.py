"""A disk's content on the host: a raw file or a block device."""

from __future__ import annotations

import errno
import os
import stat

from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

SECTOR: Final = 512

# The kernel takes so many buffers at once (IOV_MAX).
_MAX_VECTOR: Final = 1024

_ZEROS: Final = 1 << 16

# What a file system or device answers that cannot punch holes.
_UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV)


class Disk:
    """A raw image or block device, accessed straight from and to the caller's buffers.

    While it is open, a file is locked (flock): nobody else may have it as a disk who writes, or at
    all if it is written here. Block devices are not, because udev locks them for moments.

    All methods raise `OSError` for what the host's file does. Offsets and lengths are in bytes;
    the caller keeps them inside ``sectors``.

    Attributes:
        path: of the file.
        read_only: it was opened for reading only.
        sectors: its size in sectors of 512 bytes; a part of a sector at the end is left out.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        """Open ``path``.

        Raises:
            UsageError: if it cannot be, is neither a file nor a block device, or is locked.
        """
        self.path = path
        self.read_only = read_only
        flags = os.O_RDONLY if read_only else os.O_RDWR
        try:
            self._fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            hint = "" if read_only or error.errno not in _NOT_WRITABLE else f" (or say {path},ro)"
            raise UsageError(f"disk {path}: {error.strerror}{hint}") from None
        mode = os.fstat(self._fd).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            self.close()
            raise UsageError(f"disk {path}: it is neither a file nor a block device")
        if stat.S_ISREG(mode) and not self._lock():
            self.close()
            raise UsageError(
                f"disk {path}: another disk, of this or another process, has this file; several"
                " can have it if each is read-only (ro)"
            )
        # A block device has no size of its own in stat.
        self.sectors = os.lseek(self._fd, 0, os.SEEK_END) // SECTOR

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def read(self, views: Sequence[memoryview], offset: int) -> None:
        """Fill ``views`` with what is at ``offset``."""
        pending = list(views)
        left = sum(map(len, pending))
        while left:
            done = os.preadv(self._fd, pending[:_MAX_VECTOR], offset)
            if done == left:
                return
            if not done:
                raise OSError(errno.EIO, "the file has become shorter")
            left -= done
            offset += done
            _advance(pending, done)

    def write(self, views: Sequence[memoryview], offset: int) -> None:
        """Write ``views`` at ``offset``."""
        pending = list(views)
        left = sum(map(len, pending))
        while left:
            done = os.pwritev(self._fd, pending[:_MAX_VECTOR], offset)
            if done == left:
                return
            left -= done
            offset += done
            _advance(pending, done)

    def flush(self) -> None:
        """Bring everything written so far to stable storage."""
        os.fdatasync(self._fd)

    def discard(self, offset: int, length: int) -> None:
        """Give the storage of a range back where the host can; what it reads as is undefined."""
        self._punch_hole(offset, length)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool) -> None:
        """Let a range read as zeros, giving its storage back if ``unmap`` and the host can."""
        if unmap and self._punch_hole(offset, length):
            return
        zeros = memoryview(bytes(min(length, _ZEROS)))
        while length:
            part = min(length, _ZEROS)
            self.write([zeros[:part]], offset)
            offset += part
            length -= part

    def _lock(self) -> bool:
        """Lock the file; False if somebody else's lock forbids it."""
        from vmm.host import libc

        kind = libc.LOCK_SHARED if self.read_only else libc.LOCK_EXCLUSIVE
        try:
            libc.flock(self._fd, kind | libc.LOCK_NO_WAIT)
        except OSError as error:
            # Any other says that this file system has no locks.
            return error.errno != errno.EWOULDBLOCK
        return True

    def _punch_hole(self, offset: int, length: int) -> bool:
        """Replace a range by a hole; False if that is not possible here."""
        from vmm.host import libc

        if not length:
            return True
        try:
            libc.fallocate(self._fd, libc.PUNCH_HOLE | libc.KEEP_SIZE, offset, length)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return False
            raise
        return True


_NOT_WRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


def _advance(views: list[memoryview], done: int) -> None:
    """Drop ``done`` bytes from the front of ``views``."""
    whole = 0
    while whole < len(views) and done >= len(views[whole]):
        done -= len(views[whole])
        whole += 1
    del views[:whole]
    if done:
        views[0] = views[0][done:]
