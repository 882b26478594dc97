"""System calls on files and descriptors, named and shaped as in `os`."""

from __future__ import annotations

import os
from struct import Struct

from vmm.service.structures import DIRENT, IOVEC
from vmm.service.task import TaskBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from vmm.service.task import Data, Path
    from vmm.service.window import Room

AT_FDCWD: Final = -100
AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_REMOVEDIR: Final = 0x200
AT_EMPTY_PATH: Final = 0x1000

PATH_MAX: Final = 4096

F_DUPFD: Final = 0
F_GETFL: Final = 3
F_SETFL: Final = 4
F_DUPFD_CLOEXEC: Final = 1030
F_SETPIPE_SZ: Final = 1031
F_GETPIPE_SZ: Final = 1032

_PAIR: Final = Struct("<ii")


class FileCalls(TaskBase):
    """What `os` has for files, with its constants: they become those of the guest."""

    # ---- Opening and closing ----

    def open(self, path: Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """Open a file; return its descriptor."""
        flags = self.layouts.to_guest(flags)
        return self._call("openat", _at(dir_fd), self._path(path), flags, mode)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        self._call("close", fd)

    def close_range(self, first: int, last: int, flags: int = 0) -> None:
        """Close descriptors from ``first`` to ``last``."""
        self._call("close_range", first, last, flags)

    def dup(self, fd: int) -> int:
        """Duplicate a descriptor to the lowest free number, which is inheritable."""
        return self._call("dup", fd)

    def dup2(self, fd: int, fd2: int) -> int:
        """Duplicate ``fd`` to ``fd2``, which is closed first; the same number is left alone."""
        if fd == fd2:
            return self._call("fcntl", fd, F_GETFL, decode=lambda _: fd2)
        return self.dup3(fd, fd2, 0)

    def dup3(self, fd: int, fd2: int, flags: int) -> int:
        """Duplicate ``fd`` to another number; ``flags`` is 0 or O_CLOEXEC."""
        return self._call("dup3", fd, fd2, flags)

    def pipe(self) -> tuple[int, int]:
        """Make a pipe; return its reading and its writing end."""
        return self.pipe2(0)

    def pipe2(self, flags: int) -> tuple[int, int]:
        """Make a pipe with O_NONBLOCK, O_CLOEXEC, O_DIRECT (packets)."""
        room = self._room(_PAIR.size)
        flags = self.layouts.to_guest(flags)
        return self._call("pipe2", room, flags, decode=lambda _: _pair(room))

    def memfd_create(self, name: str, flags: int = os.MFD_CLOEXEC) -> int:
        """Make a file without a name."""
        return self._call("memfd_create", self._path(name), flags)

    # ---- Reading and writing ----

    def read(self, fd: int, n: int) -> bytes:
        """Read up to ``n`` bytes, at most `max_transfer`; b"" at the end."""
        room = self._room(min(n, self.max_transfer))
        return self._call("read", fd, room, len(room), decode=room.read)

    def pread(self, fd: int, n: int, offset: int) -> bytes:
        """Read at ``offset``."""
        room = self._room(min(n, self.max_transfer))
        return self._call("pread64", fd, room, len(room), offset, decode=room.read)

    def readv(self, fd: int, lengths: Sequence[int]) -> list[bytes]:
        """Read into one buffer after the other; return what is in each."""
        rooms, vector = self._rooms(lengths)
        return self._call(
            "readv", fd, vector, len(rooms), decode=lambda count: _split(rooms, count)
        )

    def preadv(self, fd: int, lengths: Sequence[int], offset: int, flags: int = 0) -> list[bytes]:
        """Read into one buffer after the other at ``offset``; ``flags`` are RWF_*."""
        rooms, vector = self._rooms(lengths)
        return self._call(
            "preadv2",
            *(fd, vector, len(rooms), offset, 0, flags),
            decode=lambda count: _split(rooms, count),
        )

    def write(self, fd: int, data: Data) -> int:
        """Write, at most `max_transfer` bytes; return how many were written."""
        room = self._put(memoryview(data).cast("B")[: self.max_transfer])
        return self._call("write", fd, room, len(room))

    def pwrite(self, fd: int, data: Data, offset: int) -> int:
        """Write at ``offset``."""
        room = self._put(memoryview(data).cast("B")[: self.max_transfer])
        return self._call("pwrite64", fd, room, len(room), offset)

    def writev(self, fd: int, buffers: Iterable[Data]) -> int:
        """Write one buffer after the other."""
        rooms, vector = self._filled(buffers)
        return self._call("writev", fd, vector, len(rooms))

    def pwritev(self, fd: int, buffers: Iterable[Data], offset: int, flags: int = 0) -> int:
        """Write one buffer after the other at ``offset``; ``flags`` are RWF_*."""
        rooms, vector = self._filled(buffers)
        return self._call("pwritev2", fd, vector, len(rooms), offset, 0, flags)

    def sendfile(self, out_fd: int, in_fd: int, offset: int | None, count: int) -> int:
        """Copy from one descriptor to another."""
        where = None if offset is None else self._put(offset.to_bytes(8, "little", signed=True))
        return self._call("sendfile", out_fd, in_fd, where, count)

    def lseek(self, fd: int, pos: int, whence: int) -> int:
        """Move the position; return the new one."""
        return self._call("lseek", fd, pos, whence)

    # ---- Descriptors ----

    def fcntl(self, fd: int, cmd: int, arg: int | Data = 0) -> int:
        """Change a descriptor or an open file, or tell about it."""
        if cmd == F_GETFL:
            return self._call("fcntl", fd, cmd, 0, decode=self.layouts.from_guest)
        if cmd == F_SETFL and isinstance(arg, int):
            arg = self.layouts.to_guest(arg)
        return self._call("fcntl", fd, cmd, arg)

    def ioctl(self, fd: int, request: int, arg: int | Data = 0) -> int:
        """Control a device; a `bytearray` is changed in place."""
        return self.syscall("ioctl", fd, request, arg)

    def get_blocking(self, fd: int) -> bool:
        """Tell whether O_NONBLOCK is clear."""
        return self._call("fcntl", fd, F_GETFL, 0, decode=lambda flags: not flags & os.O_NONBLOCK)

    def set_blocking(self, fd: int, blocking: bool) -> None:
        """Set or clear O_NONBLOCK; makes two calls."""
        flags = self.fcntl(fd, F_GETFL) & ~os.O_NONBLOCK
        self.fcntl(fd, F_SETFL, flags if blocking else flags | os.O_NONBLOCK)

    # ---- Status ----

    def fstat(self, fd: int) -> os.stat_result:
        """Return the status of an open file."""
        room = self._room(self.layouts.stat.size)
        return self._call("fstat", fd, room, decode=lambda _: self._stat(room))

    def stat(
        self, path: Path, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        """Return the status of a file."""
        room = self._room(self.layouts.stat.size)
        flags = 0 if follow_symlinks else AT_SYMLINK_NOFOLLOW
        return self._call(
            "newfstatat",
            *(_at(dir_fd), self._path(path), room, flags),
            decode=lambda _: self._stat(room),
        )

    def lstat(self, path: Path) -> os.stat_result:
        """Return the status of a file, or of a symbolic link itself."""
        return self.stat(path, follow_symlinks=False)

    def access(self, path: Path, mode: int) -> bool:
        """Tell whether the file can be accessed so."""
        try:
            self._call("faccessat", AT_FDCWD, self._path(path), mode)
        except OSError:
            return False
        return True

    def ftruncate(self, fd: int, length: int) -> None:
        """Set the length of an open file."""
        self._call("ftruncate", fd, length)

    def truncate(self, path: Path, length: int) -> None:
        """Set the length of a file."""
        self._call("truncate", self._path(path), length)

    def fsync(self, fd: int) -> None:
        """Write a file to storage."""
        self._call("fsync", fd)

    def chmod(self, path: Path, mode: int) -> None:
        """Set permissions."""
        self._call("fchmodat", AT_FDCWD, self._path(path), mode)

    def fchmod(self, fd: int, mode: int) -> None:
        """Set permissions of an open file."""
        self._call("fchmod", fd, mode)

    def umask(self, mask: int) -> int:
        """Set the mask for new files of this task's; return the one before."""
        return self._call("umask", mask)

    # ---- Directories ----

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        """Make a directory."""
        self._call("mkdirat", AT_FDCWD, self._path(path), mode)

    def mkfifo(self, path: Path, mode: int = 0o666) -> None:
        """Make a FIFO."""
        self._call("mknodat", AT_FDCWD, self._path(path), mode | 0o010000, 0)

    def rmdir(self, path: Path) -> None:
        """Remove an empty directory."""
        self._call("unlinkat", AT_FDCWD, self._path(path), AT_REMOVEDIR)

    def unlink(self, path: Path) -> None:
        """Remove a name of a file."""
        self._call("unlinkat", AT_FDCWD, self._path(path), 0)

    def rename(self, src: Path, dst: Path) -> None:
        """Give a file another name."""
        source, target = self._path(src), self._path(dst)
        self._call("renameat2", AT_FDCWD, source, AT_FDCWD, target, 0)

    def link(self, src: Path, dst: Path) -> None:
        """Give a file one more name."""
        source, target = self._path(src), self._path(dst)
        self._call("linkat", AT_FDCWD, source, AT_FDCWD, target, 0)

    def symlink(self, src: Path, dst: Path) -> None:
        """Make a symbolic link to ``src`` named ``dst``."""
        source, target = self._path(src), self._path(dst)
        self._call("symlinkat", source, AT_FDCWD, target)

    def readlink(self, path: Path) -> str:
        """Return what a symbolic link leads to."""
        room = self._room(PATH_MAX)
        return self._call(
            "readlinkat",
            *(AT_FDCWD, self._path(path), room, len(room)),
            decode=lambda length: os.fsdecode(room.read(length)),
        )

    def chdir(self, path: Path) -> None:
        """Change the working directory of this task's."""
        self._call("chdir", self._path(path))

    def getcwd(self) -> str:
        """Return the working directory."""
        room = self._room(PATH_MAX)
        return self._call(
            "getcwd", room, len(room), decode=lambda length: os.fsdecode(room.read(length - 1))
        )

    def getdents(self, fd: int, length: int = 4096) -> list[tuple[int, int, str]]:
        """Read entries of a directory: (inode, type, name); [] at the end."""
        room = self._room(length)
        return self._call("getdents64", fd, room, length, decode=lambda n: _entries(room.view[:n]))

    def listdir(self, path: Path = ".") -> list[str]:
        """Return the names in a directory, without ``.`` and ``..``; makes several calls."""
        fd = self.open(path, os.O_RDONLY)
        try:
            names: list[str] = []
            while entries := self.getdents(fd):
                names += [name for _, _, name in entries if name not in (".", "..")]
            return names
        finally:
            self.close(fd)

    # ---- Parts ----

    def _stat(self, room: Room) -> os.stat_result:
        return self.layouts.stat_result(bytes(room.view))

    def _rooms(self, lengths: Sequence[int]) -> tuple[list[Room], Room]:
        rooms = [self._room(length) for length in lengths]
        return rooms, self._vector(rooms)

    def _filled(self, buffers: Iterable[Data]) -> tuple[list[Room], Room]:
        rooms = [self._put(buffer) for buffer in buffers]
        return rooms, self._vector(rooms)

    def _vector(self, rooms: Sequence[Room]) -> Room:
        """Return an array of struct iovec."""
        return self._put(b"".join([IOVEC.pack(room.address, len(room)) for room in rooms]))


def _at(dir_fd: int | None) -> int:
    return AT_FDCWD if dir_fd is None else dir_fd


def _pair(room: Room) -> tuple[int, int]:
    first, second = _PAIR.unpack(room.view)
    return first, second


def _split(rooms: Sequence[Room], count: int) -> list[bytes]:
    parts = []
    for room in rooms:
        parts.append(room.read(min(count, len(room))))
        count -= len(parts[-1])
    return parts


def _entries(view: memoryview) -> list[tuple[int, int, str]]:
    entries = []
    while len(view) >= DIRENT.size:
        inode, _, length, kind = DIRENT.unpack_from(view)
        name = bytes(view[DIRENT.size : length]).partition(b"\0")[0]
        entries.append((inode, kind, os.fsdecode(name)))
        view = view[max(length, DIRENT.size) :]
    return entries
