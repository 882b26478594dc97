"""A directory of the host that a guest shares, and nothing outside it.

Files are named by paths relative to the directory, as tuples of names; b"", b"..", and names with
a slash never occur in one. Each operation resolves its path anew with openat2, beneath the
directory and without following any symbolic link, then acts on the file found or on a name in
the directory found, so that neither a link nor a rename at the wrong moment leads outside.
"""

from __future__ import annotations

import os
import stat
from errno import EACCES, EINVAL, ENAMETOOLONG, EROFS
from time import time_ns

from vmm.devices.virtio.p9.file import SharedFile
from vmm.errors import UsageError
from vmm.host import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Path = tuple[bytes, ...]

MAX_NAME: Final = 255
MAX_PATH: Final = 4095

_RESOLVE: Final = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_MAGICLINKS | libc.RESOLVE_NO_SYMLINKS

# What a guest may ask for when it opens a file; the rest is its own affair.
_OPEN_FLAGS: Final = os.O_ACCMODE | os.O_APPEND | os.O_TRUNC | os.O_EXCL | os.O_DSYNC | os.O_SYNC

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_APPEND


class Share:
    """A shared directory. All methods raise `OSError` for what the host does or forbids.

    Attributes:
        writable: the guest may change what is in it.
    """

    def __init__(self, directory: str, *, writable: bool = False) -> None:
        """Open ``directory``.

        Raises:
            UsageError: if it cannot be, or the kernel is older than openat2 (5.6).
        """
        self.writable = writable
        try:
            self._root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"share {directory}: {error.strerror}") from None
        try:
            os.close(self._locate(()))
        except OSError as error:
            self.close()
            raise UsageError(f"share {directory}: openat2: {error.strerror}") from None

    def close(self) -> None:
        """Close the directory; harmless when closed."""
        fd, self._root = self._root, -1
        if fd >= 0:
            os.close(fd)

    # ---- Looking ----

    def stat(self, path: Path) -> os.stat_result:
        """Return the attributes of the file itself, also of a symbolic link."""
        with _Held(self._locate(path)) as fd:
            return os.fstat(fd)

    def now(self) -> int:
        """Return the time for a file that is touched now, in nanoseconds since 1970."""
        return time_ns()

    def statfs(self, path: Path) -> os.statvfs_result:
        """Return the attributes of the file system that holds ``path``."""
        with _Held(self._locate(path)) as fd:
            return os.fstatvfs(fd)

    def readlink(self, path: Path) -> bytes:
        """Return where a symbolic link points to; it is the guest who follows it."""
        with _Held(self._parent(path)) as parent:
            return os.readlink(_name(path), dir_fd=parent)

    def open(self, path: Path, flags: int) -> SharedFile:
        """Open a regular file or directory.

        Anything else, a FIFO or device, is the guest's own to open: EACCES.
        """
        flags &= _OPEN_FLAGS
        if flags & _WRITES:
            self._check_writable()
        with _Held(self._locate(path)) as fd:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise _error(EACCES)
            # What has been looked at is what is opened.
            flags = flags & ~os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK
            return SharedFile(os.open(_by_descriptor(fd), flags))

    # ---- Changing ----

    def create(self, path: Path, flags: int, mode: int) -> SharedFile:
        """Create a regular file, or open it if it exists."""
        self._check_writable()
        flags = flags & _OPEN_FLAGS | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        with _Held(self._parent(path)) as parent:
            fd = libc.openat2(parent, _name(path), flags, mode & 0o7777, _RESOLVE)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _error(EACCES)
        return SharedFile(fd)

    def mkdir(self, path: Path, mode: int) -> None:
        """Make a directory."""
        self._check_writable()
        with _Held(self._parent(path)) as parent:
            os.mkdir(_name(path), mode & 0o7777, dir_fd=parent)

    def mkfifo(self, path: Path, mode: int) -> None:
        """Make a FIFO, which only processes of the guest can use."""
        self._check_writable()
        with _Held(self._parent(path)) as parent:
            os.mkfifo(_name(path), mode & 0o7777, dir_fd=parent)

    def symlink(self, path: Path, target: bytes) -> None:
        """Make a symbolic link, which may say anything."""
        self._check_writable()
        with _Held(self._parent(path)) as parent:
            os.symlink(target, _name(path), dir_fd=parent)

    def link(self, path: Path, existing: Path) -> None:
        """Make another name for a file."""
        self._check_writable()
        with _Held(self._parent(existing)) as source, _Held(self._parent(path)) as parent:
            os.link(
                _name(existing),
                _name(path),
                src_dir_fd=source,
                dst_dir_fd=parent,
                follow_symlinks=False,
            )

    def rename(self, path: Path, to: Path) -> None:
        """Rename a file, replacing what is there."""
        self._check_writable()
        with _Held(self._parent(path)) as source, _Held(self._parent(to)) as parent:
            os.rename(_name(path), _name(to), src_dir_fd=source, dst_dir_fd=parent)

    def remove(self, path: Path, *, directory: bool) -> None:
        """Remove a name, or an empty directory."""
        self._check_writable()
        with _Held(self._parent(path)) as parent:
            if directory:
                os.rmdir(_name(path), dir_fd=parent)
            else:
                os.unlink(_name(path), dir_fd=parent)

    def chmod(self, path: Path, mode: int) -> None:
        """Set the permissions of a file."""
        self._check_writable()
        with _Held(self._locate(path)) as fd:
            os.chmod(_by_descriptor(fd), mode & 0o7777)

    def chown(self, path: Path, user: int, group: int) -> None:
        """Set owner and group; -1 leaves one as it is."""
        self._check_writable()
        with _Held(self._parent(path)) as parent:
            os.chown(_own_name(path), user, group, dir_fd=parent, follow_symlinks=False)

    def utime(self, path: Path, accessed: int, modified: int) -> None:
        """Set the times of access and modification, in nanoseconds since 1970."""
        self._check_writable()
        with _Held(self._parent(path)) as parent:
            times = (accessed, modified)
            os.utime(_own_name(path), ns=times, dir_fd=parent, follow_symlinks=False)

    def truncate(self, path: Path, length: int) -> None:
        """Set the length of a regular file."""
        file = self.open(path, os.O_WRONLY)
        try:
            file.truncate(length)
        finally:
            file.close()

    # ---- Inside ----

    def _check_writable(self) -> None:
        if not self.writable:
            raise _error(EROFS)

    def _locate(self, path: Path) -> int:
        """Return a descriptor that stands for the file itself (O_PATH)."""
        name = b"/".join(path) or b"."
        if len(name) > MAX_PATH:
            raise _error(ENAMETOOLONG)
        return libc.openat2(self._root, name, os.O_PATH | os.O_NOFOLLOW, 0, _RESOLVE)

    def _parent(self, path: Path) -> int:
        return self._locate(path[:-1])


class _Held:
    """A descriptor for the length of a with statement."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def child(path: Path, name: bytes) -> Path:
    """Return the path of ``name`` in the directory ``path``.

    Raises:
        OSError: EINVAL if that is no name of a file.
    """
    if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
        raise _error(EINVAL)
    if len(name) > MAX_NAME:
        raise _error(ENAMETOOLONG)
    return (*path, name)


def _name(path: Path) -> bytes:
    """Return the last name of ``path``; the shared directory itself has none."""
    if not path:
        raise _error(EINVAL)
    return path[-1]


def _own_name(path: Path) -> bytes:
    return path[-1] if path else b"."


def _by_descriptor(fd: int) -> str:
    return f"/proc/self/fd/{fd}"


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
