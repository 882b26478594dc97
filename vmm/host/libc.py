"""Calls into libc, with errors as `OSError`."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, NoReturn, Protocol

    class _Libc(Protocol):
        def fallocate(self, fd: int, mode: int, offset: int, length: int, /) -> int: ...
        def flock(self, fd: int, operation: int, /) -> int: ...
        def ioctl(self, fd: int, request: int, argument: Any, /) -> int: ...
        def syscall(self, number: Any, /, *arguments: Any) -> int: ...

    class _ForeignInterface(Protocol):
        errno: int

        def cast(self, kind: str, number: int, /) -> Any: ...
        def dlopen(self, path: None, /) -> _Libc: ...
        def new(self, kind: str, initial: object = ..., /) -> Any: ...
        def sizeof(self, kind: str, /) -> int: ...

    ffi: _ForeignInterface
else:
    from vmm.host._ffi import ffi

# <linux/falloc.h>
KEEP_SIZE: Final = 0x01
PUNCH_HOLE: Final = 0x02

# <sys/file.h>
LOCK_SHARED: Final = 1
LOCK_EXCLUSIVE: Final = 2
LOCK_NO_WAIT: Final = 4

# <linux/openat2.h>
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

# <linux/if_tun.h>
TUNSETIFF: Final = 0x4004_54CA
TUNSETOFFLOAD: Final = 0x4004_54D0
TUNSETVNETHDRSZ: Final = 0x4004_54D8
IFF_TAP: Final = 0x0002
IFF_NO_PI: Final = 0x1000
IFF_VNET_HDR: Final = 0x4000

# The same on all architectures.
_SYS_OPENAT2: Final = 437

_libc: Final = ffi.dlopen(None)


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """Change how a range of a file is stored."""
    while _libc.fallocate(fd, mode, offset, length) < 0:
        if ffi.errno != errno.EINTR:
            _fail(ffi.errno)


def flock(fd: int, operation: int) -> None:
    """Lock or unlock the whole file for what ``fd`` was opened as, against others who ask."""
    while _libc.flock(fd, operation) < 0:
        if ffi.errno != errno.EINTR:
            _fail(ffi.errno)


def openat2(directory: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    """Open ``path`` relative to ``directory``, resolved as ``resolve`` says."""
    how = ffi.new("struct open_how *", (flags | os.O_CLOEXEC, mode, resolve))
    name = ffi.new("char[]", path)
    size = ffi.cast("size_t", ffi.sizeof("struct open_how"))
    while True:
        fd = _libc.syscall(
            ffi.cast("long", _SYS_OPENAT2), ffi.cast("int", directory), name, how, size
        )
        if fd >= 0:
            return fd
        # The kernel asks for another try when something was renamed meanwhile.
        if ffi.errno not in (errno.EINTR, errno.EAGAIN):
            _fail(ffi.errno)


def set_tap(fd: int, name: str, flags: int) -> None:
    """Make ``fd``, of /dev/net/tun, the interface ``name``: TUNSETIFF."""
    request = ffi.new("struct ifreq *")
    request.ifr_name = name.encode()
    request.ifr_flags = flags
    _ioctl(fd, TUNSETIFF, request)


def set_tap_header_size(fd: int, size: int) -> None:
    """Set the length of the virtio-net header before each frame: TUNSETVNETHDRSZ."""
    _ioctl(fd, TUNSETVNETHDRSZ, ffi.new("int *", size))


def set_tap_offloads(fd: int, offloads: int) -> None:
    """Say which frames, not finished yet, the reader of ``fd`` takes: TUNSETOFFLOAD."""
    _ioctl(fd, TUNSETOFFLOAD, ffi.cast("unsigned long", offloads))


def _ioctl(fd: int, request: int, argument: Any) -> None:
    if _libc.ioctl(fd, request, argument) < 0:
        _fail(ffi.errno)


def _fail(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))
