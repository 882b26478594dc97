"""The host's descriptors that devices wait for: TAP interfaces, sockets, kicks.

One thread per machine, started by the first descriptor, calls the device with the bus lock held,
as an access of the guest would. An emulator's vCPU does the same while its guest waits for an
interrupt: nobody has to be woken then, neither for the device nor for the guest. Where there is
such a vCPU, the thread takes a rest after each turn. What comes meanwhile is served by the vCPU as
soon as its guest waits, and else a little later, all at once: two threads that share one
interpreter mostly wait for each other, and a guest's TCP makes longer segments of what it may not
send yet.
"""

from __future__ import annotations

import os
import select
from _thread import allocate_lock, get_ident, get_native_id
from time import sleep as rest

from vmm.host.threads import start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Final, Protocol

    class Lock(Protocol):
        """A lock as a context manager."""

        def __enter__(self) -> object: ...
        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
            /,
        ) -> object: ...


# How long the thread rests after a turn, in seconds, where a vCPU serves: as long as it takes to
# wake up and to stop the guest; longer where more is to be gathered, but not as long as people or
# the timers of networks would notice.
_REST: Final = 50e-6
_LONG_REST: Final = 300e-6

_NOBODY: Final = 0  # no thread has this identifier


class Watch:
    """One descriptor that somebody waits for.

    It fires once for each `arm`: a device that cannot take more does not ask for more. All
    methods are called with the loop's lock held.

    Attributes:
        fd: the descriptor; -1 when closed.
        callback: what is called.
        patient: after it was called, what comes next had better be gathered for a while.
    """

    def __init__(self, loop: EventLoop, fd: int, callback: Callable[[], None]) -> None:
        self.fd = fd
        self.callback = callback
        self.patient = False
        self._loop = loop
        self._armed = 0

    def arm(self, *, read: bool = False, write: bool = False) -> None:
        """Call back once, soon, when the descriptor can be read, or written, or has failed.

        Replaces what was asked for before; without either, nothing is waited for. Harmless when
        closed.
        """
        wanted = select.EPOLLIN * read | select.EPOLLOUT * write
        if wanted != self._armed and self.fd >= 0:
            self._armed = wanted
            self._loop.change(self.fd, wanted)

    def fire(self) -> None:
        """Call back; for the loop."""
        self._armed = 0
        self.callback()

    def close(self) -> None:
        """Stop waiting, before the descriptor is closed; harmless when closed."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self._loop.remove(fd)


class EventLoop:
    """Waits for descriptors, in a thread of its own or of a vCPU that has nothing to do.

    Args:
        lock: held while a device is called.
    """

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._watches: dict[int, Watch] = {}
        self._running = False
        self._closed = False
        self._ended = allocate_lock()
        self._ended.acquire()
        self._shared = False
        self._thread = _NOBODY
        self._afterwards: Callable[[], None] | None = None
        self._bell = -1
        self._rung = False
        self._sleeper = _NOBODY
        self._guard = allocate_lock()
        self._parked = False
        self._parking = allocate_lock()
        self._parking.acquire()

    def watch(self, fd: int, callback: Callable[[], None]) -> Watch:
        """Return a watch on ``fd`` that waits for nothing yet.

        Raises:
            OSError: if nobody can wait for it, as for a regular file (`PermissionError`).
            VmmError: if the host refuses the thread.
        """
        if not self._running:
            start_thread(self._serve)
            self._running = True
        watch = self._watches[fd] = Watch(self, fd, callback)
        try:
            self._epoll.register(fd, select.EPOLLONESHOT)
        except OSError:
            del self._watches[fd]
            raise
        return watch

    def change(self, fd: int, wanted: int) -> None:
        """Wait for the events ``wanted`` of ``fd``, once; for watches."""
        if not self._closed:
            self._epoll.modify(fd, wanted | select.EPOLLONESHOT)

    def remove(self, fd: int) -> None:
        """Forget ``fd``; for watches."""
        del self._watches[fd]
        if not self._closed:
            self._epoll.unregister(fd)

    def close(self) -> None:
        """End the thread; nothing is called afterwards. Not to be called with the lock held."""
        if self._closed:
            return
        with self._lock:
            self._closed = True
        os.eventfd_write(self._wake, 1)
        if self._running:
            self._ended.acquire()
        self._epoll.close()
        os.close(self._wake)
        if self._bell >= 0:
            os.close(self._bell)

    def fileno(self) -> int:
        """Return a descriptor that can be read when `serve` has something to do."""
        return self._epoll.fileno()

    def serve(self, timeout: float | None = 0) -> bool:
        """Call devices whose descriptors are ready; wait for the first at most ``timeout`` seconds.

        None: for ever. Returns whether one of them is patient. Not to be called with the lock held.
        """
        patient = False
        for fd, _ in self._epoll.poll(timeout):
            if fd == self._bell:
                continue
            with self._lock:
                # It may have been closed by the one before it in this very list.
                watch = self._watches.get(fd)
                if watch is not None and not self._closed:
                    watch.fire()
                    patient = patient or watch.patient
            if self._afterwards is not None and get_ident() == self._thread:
                act, self._afterwards = self._afterwards, None
                act()
        return patient

    def _serve(self) -> None:
        _sleep_exactly()
        self._thread = get_ident()
        try:
            while not self._closed:
                patient = self.serve(None)
                if self._shared:
                    rest(_LONG_REST if patient else _REST)
                    self._park()
        finally:
            self._ended.release()

    def _park(self) -> None:
        """Wait until no vCPU sleeps here: who began to wait last is the first to be woken."""
        with self._guard:
            parked = self._parked = self._sleeper != _NOBODY
        if parked:
            self._parking.acquire()

    # ---- The sleep of a vCPU, see `vmm.backends.api.Sleep` ----

    def share(self) -> None:
        """Let a vCPU `sleep` here, and leave to it what it can serve. Before the first run."""
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._shared = True

    def sleep(self, over: Callable[[], bool]) -> None:
        """Serve what there is or comes first, unless `wake` comes before."""
        with self._guard:
            self._sleeper = get_ident()
        try:
            if not over():
                self.serve(None)
        finally:
            with self._guard:
                self._sleeper = _NOBODY
                if self._rung:
                    os.eventfd_read(self._bell)
                    self._rung = False
                if self._parked:
                    self._parked = False
                    self._parking.release()

    def insist(self, act: Callable[[], None]) -> None:
        if get_ident() == self._thread:
            self._afterwards = act
        else:
            act()

    def wake(self) -> None:
        with self._guard:
            # Who serves a device that wakes it is awake.
            if self._sleeper not in (_NOBODY, get_ident()) and not self._rung:
                self._rung = True
                os.eventfd_write(self._bell, 1)


def _sleep_exactly() -> None:
    """Let this thread's sleeps end on time; by default the kernel adds up to 50 us.

    Interrupting a vCPU may take a sleep of less, until it has noticed, with the bus lock held.
    """
    try:
        with open(f"/proc/{get_native_id()}/timerslack_ns", "w", encoding="ascii") as slack:
            slack.write("1")
    except OSError:
        pass  # then it only takes longer
