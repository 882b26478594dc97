"""Structures that system calls pass, as Linux lays them out on both architectures."""

from __future__ import annotations

import os
from struct import Struct

from vmm.arch import X86_64, host_arch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.arch import Arch

IOVEC: Final = Struct("<QQ")  # base, length
TIMESPEC: Final = Struct("<qq")  # seconds, ns
ITIMERSPEC: Final = Struct("<qqqq")  # interval, value
POLLFD: Final = Struct("<ihh")  # fd, events, revents
MSGHDR: Final = Struct("<QI4xQQQQi4x")  # name, its length; iovecs; control; flags
CMSGHDR: Final = Struct("<Qii")  # length with this header, level, type
SOCKLEN: Final = Struct("<I")
U64: Final = Struct("<Q")
DIRENT: Final = Struct("<QqHB")  # inode, offset of the next, length, type; then the name

_NS: Final = 1_000_000_000

# The flags of open(2) whose values differ: O_DIRECT, O_DIRECTORY, O_NOFOLLOW, O_LARGEFILE.
_X86_FLAGS: Final = (0o40000, 0o200000, 0o400000, 0o100000)
_ARM64_FLAGS: Final = (0o200000, 0o40000, 0o100000, 0o400000)
_HOST_FLAGS: Final = _X86_FLAGS if host_arch() == X86_64 else _ARM64_FLAGS


class Layouts:
    """What differs.

    Attributes:
        open_flags: those in which this architecture and the host differ.
        epoll_event: events, data.
        stat: see `stat_result`.
    """

    def __init__(self, epoll_event: Struct, stat: Struct, is_x86: bool) -> None:
        self.epoll_event = epoll_event
        self.stat = stat
        self.open_flags = _X86_FLAGS if is_x86 else _ARM64_FLAGS
        self._is_x86 = is_x86

    def to_guest(self, flags: int) -> int:
        """Return flags of `os.open` as the guest has them."""
        return _exchange(flags, _HOST_FLAGS, self.open_flags)

    def from_guest(self, flags: int) -> int:
        """Return flags of the guest as `os` has them."""
        return _exchange(flags, self.open_flags, _HOST_FLAGS)

    def stat_result(self, data: bytes) -> os.stat_result:
        """Return what ``struct stat`` holds, in the form of `os.stat`."""
        fields = self.stat.unpack(data)
        if self._is_x86:
            device, inode, links, mode, user, group, rdev, size, block, blocks, *times = fields
        else:
            device, inode, mode, links, user, group, rdev, size, block, blocks, *times = fields
        seconds, nanoseconds = times[0::2], times[1::2]
        exact = [s * _NS + n for s, n in zip(seconds, nanoseconds, strict=True)]
        names = ("st_atime", "st_mtime", "st_ctime")
        extra: dict[str, float] = {
            "st_blksize": block,
            "st_blocks": blocks,
            "st_rdev": rdev,
        }
        for name, time in zip(names, exact, strict=True):
            extra[name] = time / _NS
            extra[name + "_ns"] = time
        return os.stat_result((mode, inode, device, links, user, group, size, *seconds), extra)


_LAYOUTS: Final = {
    True: Layouts(Struct("<IQ"), Struct("<QQQIII4xQqqqqqqqqq24x"), True),
    False: Layouts(Struct("<I4xQ"), Struct("<QQIIIIQ8xqi4xqqqqqqq8x"), False),
}


def layouts_of(arch: Arch) -> Layouts:
    """Return the layouts of one architecture."""
    return _LAYOUTS[arch == X86_64]


def _exchange(flags: int, old: tuple[int, ...], new: tuple[int, ...]) -> int:
    kept = flags & ~sum(old)
    return kept | sum([to for bit, to in zip(old, new, strict=True) if flags & bit])


def timespec(seconds: float) -> bytes:
    """Return a duration as ``struct timespec``."""
    return TIMESPEC.pack(*divmod(round(seconds * _NS), _NS))
