"""System calls that wait for events, named and shaped as in `os` and `select`."""

from __future__ import annotations

from vmm.service.structures import ITIMERSPEC, POLLFD, U64, timespec
from vmm.service.task import TaskBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from vmm.service.window import Room

# The module `select` has EPOLLIN and so on, but not these.
EPOLL_CTL_ADD: Final = 1
EPOLL_CTL_DEL: Final = 2
EPOLL_CTL_MOD: Final = 3

SIGNAL_SET_SIZE: Final = 8

_FD_SET_SIZE: Final = 1024 // 8
_NS: Final = 1_000_000_000


class EventCalls(TaskBase):
    """poll, select, epoll, and the descriptors made for them."""

    # ---- epoll ----

    def epoll_create1(self, flags: int = 0) -> int:
        """Make an epoll; ``flags`` is 0 or EPOLL_CLOEXEC."""
        return self._call("epoll_create1", flags)

    def epoll_ctl(self, ep: int, op: int, fd: int, events: int = 0) -> None:
        """Add (`EPOLL_CTL_ADD`), change or remove a file; its data is ``fd``."""
        event = self.layouts.epoll_event.pack(events & 0xFFFF_FFFF, fd & (1 << 64) - 1)
        self._call("epoll_ctl", ep, op, fd, event)

    def epoll_wait(self, ep: int, maxevents: int, timeout_ms: int) -> list[tuple[int, int]]:
        """Wait for events: (fd, events) of each file; -1 waits for ever, 0 not at all."""
        layout = self.layouts.epoll_event
        room = self._room(max(min(maxevents, self.max_transfer // layout.size), 0) * layout.size)
        return self._call(
            "epoll_pwait",
            *(ep, room, maxevents, timeout_ms, 0, SIGNAL_SET_SIZE),
            decode=lambda count: [
                (data, events)
                for events, data in layout.iter_unpack(room.view[: count * layout.size])
            ],
        )

    # ---- poll and select ----

    def poll(
        self, files: Iterable[tuple[int, int]], timeout_ms: int | None = None
    ) -> list[tuple[int, int]]:
        """Wait for ``files`` of (fd, events); return those with events: (fd, events)."""
        room = self._put(b"".join([POLLFD.pack(fd, events, 0) for fd, events in files]))
        wait = None if timeout_ms is None or timeout_ms < 0 else timespec(timeout_ms / 1000)
        return self._call(
            "ppoll",
            *(room, len(room) // POLLFD.size, wait, 0, SIGNAL_SET_SIZE),
            decode=lambda _: [
                (fd, found) for fd, _, found in POLLFD.iter_unpack(room.view) if found
            ],
        )

    def select(
        self,
        rlist: Sequence[int],
        wlist: Sequence[int],
        xlist: Sequence[int],
        timeout: float | None = None,
    ) -> tuple[list[int], list[int], list[int]]:
        """Wait until descriptors below 1024 are ready; return which."""
        lists = (rlist, wlist, xlist)
        rooms = [self._put(_fd_set(numbers)) for numbers in lists]
        count = max([fd + 1 for numbers in lists for fd in numbers], default=0)
        wait = None if timeout is None else timespec(timeout)

        def decode(_: int) -> tuple[list[int], list[int], list[int]]:
            ready = [
                [fd for fd in numbers if room.view[fd // 8] >> fd % 8 & 1]
                for numbers, room in zip(lists, rooms, strict=True)
            ]
            return ready[0], ready[1], ready[2]

        return self._call("pselect6", count, *rooms, wait, 0, decode=decode)

    # ---- Descriptors for events ----

    def eventfd(self, initval: int, flags: int = 0) -> int:
        """Make a counter; ``flags`` as of `os.eventfd`."""
        return self._call("eventfd2", initval, flags)

    def eventfd_read(self, fd: int) -> int:
        """Read the counter, or take one from it (EFD_SEMAPHORE)."""
        room = self._room(U64.size)
        return self._call("read", fd, room, U64.size, decode=lambda _: _word(room))

    def eventfd_write(self, fd: int, value: int) -> None:
        """Add to the counter."""
        self._call("write", fd, U64.pack(value), U64.size)

    def timerfd_create(self, clockid: int, flags: int = 0) -> int:
        """Make a timer."""
        return self._call("timerfd_create", clockid, flags)

    def timerfd_settime(
        self, fd: int, flags: int = 0, *, initial: float = 0, interval: float = 0
    ) -> tuple[float, float]:
        """Set a timer, in seconds; return what it was before: (until the next, interval)."""
        room = self._room(ITIMERSPEC.size)
        new = timespec(interval) + timespec(initial)
        return self._call("timerfd_settime", fd, flags, new, room, decode=lambda _: _timer(room))

    def timerfd_gettime(self, fd: int) -> tuple[float, float]:
        """Return (until the next, interval) in seconds."""
        room = self._room(ITIMERSPEC.size)
        return self._call("timerfd_gettime", fd, room, decode=lambda _: _timer(room))

    def signalfd(self, fd: int, signals: Iterable[int], flags: int = 0) -> int:
        """Make a descriptor (``fd`` is -1) that signals are read from, or change its set."""
        mask = sum([1 << (signal - 1) for signal in signals])
        return self._call("signalfd4", fd, U64.pack(mask), SIGNAL_SET_SIZE, flags)


def _fd_set(numbers: Sequence[int]) -> bytes:
    bits = bytearray(_FD_SET_SIZE)
    for fd in numbers:
        if not 0 <= fd < _FD_SET_SIZE * 8:
            raise ValueError(f"filedescriptor {fd} out of range in select()")
        bits[fd // 8] |= 1 << fd % 8
    return bytes(bits)


def _word(room: Room) -> int:
    return int(U64.unpack(room.view)[0])


def _timer(room: Room) -> tuple[float, float]:
    interval, interval_ns, initial, initial_ns = ITIMERSPEC.unpack(room.view)
    return initial + initial_ns / _NS, interval + interval_ns / _NS
