"""The host's descriptors that devices wait for: TAP interfaces, sockets.

One thread per machine, started by the first descriptor, calls the device with the bus lock held,
as an access of the guest would.
"""

from __future__ import annotations

import os
import select
from _thread import allocate_lock, get_native_id, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Protocol

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


class Watch:
    """One descriptor that somebody waits for.

    It fires once for each `arm`: a device that cannot take more does not ask for more. All
    methods are called with the loop's lock held.
    """

    def __init__(self, loop: EventLoop, fd: int, callback: Callable[[], None]) -> None:
        self.fd = fd
        self.callback = callback
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
    """Waits for descriptors in a thread of its own.

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

    def watch(self, fd: int, callback: Callable[[], None]) -> Watch:
        """Return a watch on ``fd`` that waits for nothing yet.

        Raises:
            OSError: if nobody can wait for it, as for a regular file (`PermissionError`).
        """
        watch = self._watches[fd] = Watch(self, fd, callback)
        try:
            self._epoll.register(fd, select.EPOLLONESHOT)
        except OSError:
            del self._watches[fd]
            raise
        if not self._running:
            self._running = True
            self._ended.acquire()
            start_new_thread(self._serve, ())
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

    def _serve(self) -> None:
        _sleep_exactly()
        try:
            while not self._closed:
                for fd, _ in self._epoll.poll():
                    with self._lock:
                        # It may have been closed by the one before it in this very list.
                        watch = self._watches.get(fd)
                        if watch is not None and not self._closed:
                            watch.fire()
        finally:
            self._ended.release()


def _sleep_exactly() -> None:
    """Let this thread's sleeps end on time; by default the kernel adds up to 50 us.

    Interrupting a vCPU may take a sleep of less, until it has noticed, with the bus lock held.
    """
    try:
        with open(f"/proc/{get_native_id()}/timerslack_ns", "w", encoding="ascii") as slack:
            slack.write("1")
    except OSError:
        pass  # then it only takes longer
