"""Guest time, and the alarms that devices set on it.

One thread per machine serves all alarms. It is started by the first alarm, so that a guest which
needs none costs none.
"""

from __future__ import annotations

from _heapq import heapify, heappop, heappush
from _thread import allocate_lock, start_new_thread
from time import monotonic_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Final, Protocol

    from vmm.lines import Timer

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


_NS: Final = 1_000_000_000

# The queue may hold this many entries besides two for each alarm before stale ones are dropped.
_SPARE_ENTRIES: Final = 64


class MachineClock:
    """Monotonic nanoseconds since the machine was created, and alarms at points of that time.

    Callbacks run on the clock's own thread, with ``lock`` held.
    """

    def __init__(self, lock: Lock) -> None:
        self._origin = monotonic_ns()
        self._lock = lock
        self._queue: list[tuple[int, int, _Alarm]] = []
        self._ticket = 0
        self._alarms = 0
        self._guard = allocate_lock()
        self._wake = allocate_lock()
        self._wake.acquire()
        self._running = False
        self._closed = False

    def now(self) -> int:
        """Return the guest time in nanoseconds."""
        return monotonic_ns() - self._origin

    def timer(self, callback: Callable[[], None]) -> Timer:
        """Return a new alarm that is not set."""
        with self._guard:
            self._alarms += 1
        return _Alarm(self, callback)

    def close(self) -> None:
        """Stop the thread; alarms set from now on never fire."""
        with self._guard:
            self._closed = True
            self._queue.clear()
            self._signal()

    def schedule(self, alarm: _Alarm, deadline: int) -> None:
        """Queue ``alarm``; its older entries in the queue turn stale."""
        with self._guard:
            if self._closed:
                return
            self._ticket += 1
            alarm.ticket = self._ticket
            earliest = not self._queue or deadline < self._queue[0][0]
            heappush(self._queue, (deadline, self._ticket, alarm))
            if len(self._queue) > 2 * self._alarms + _SPARE_ENTRIES:
                self._compact()
            if not self._running:
                self._running = True
                start_new_thread(self._serve, ())
            elif earliest:
                self._signal()

    def _compact(self) -> None:
        """Drop stale entries: a guest may move one far deadline again and again."""
        self._queue = [entry for entry in self._queue if entry[2].ticket == entry[1]]
        heapify(self._queue)

    def _signal(self) -> None:
        if self._wake.locked():
            self._wake.release()

    def _serve(self) -> None:
        while True:
            with self._guard:
                if self._closed:
                    self._running = False
                    return
                due, wait = self._due()
            if due is None:
                self._wake.acquire(timeout=wait)
                continue
            alarm, ticket = due
            with self._lock:
                # Whoever cancels or re-arms holds the same lock, so a stale ticket stays stale.
                if alarm.ticket == ticket:
                    alarm.ticket = 0
                    alarm.callback()

    def _due(self) -> tuple[tuple[_Alarm, int] | None, float]:
        """Take the first alarm that is due, or tell how many seconds to wait (-1: for ever)."""
        queue = self._queue
        while queue and queue[0][2].ticket != queue[0][1]:
            heappop(queue)
        if not queue:
            return None, -1
        wait = queue[0][0] - self.now()
        if wait > 0:
            # A device may set a deadline centuries ahead; lock waits have an upper limit.
            return None, min(wait / _NS, 3600.0)
        _, ticket, alarm = heappop(queue)
        return (alarm, ticket), 0


class _Alarm:
    """One alarm; set while ``ticket`` is that of an entry in the queue."""

    def __init__(self, clock: MachineClock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self.callback = callback
        self.ticket = 0

    def arm(self, deadline: int) -> None:
        self._clock.schedule(self, deadline)

    def cancel(self) -> None:
        self.ticket = 0
