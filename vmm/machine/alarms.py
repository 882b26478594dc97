"""The alarms of all machines of this process, and the one thread that they ring on.

The first alarm starts the thread. It is not woken for an alarm behind the one that it waits for,
nor when that one is cancelled: arming and cancelling a distant alarm costs no switch of threads.
"""

from __future__ import annotations

import os
import sys
from _heapq import heapify, heappop, heappush
from _thread import allocate_lock
from time import monotonic_ns

from vmm.host.threads import start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    class Lock(Protocol):
        """A lock that can be waited for."""

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
        def release(self) -> None: ...


_NS: Final = 1_000_000_000
_NEVER: Final = 1 << 63
_LONGEST_WAIT: Final = 3600 * _NS  # a lock cannot be waited for without limit

# How long a machine that is busy may hold up the alarms of the others, and how often it is asked.
_PATIENCE: Final = _NS // 1000

# The queue may hold this many entries besides two for each alarm before stale ones are dropped.
_SPARE_ENTRIES: Final = 64


class Alarm:
    """One alarm. Its callback runs on the alarms' thread, with ``lock`` held."""

    def __init__(self, origin: int, lock: Lock, callback: Callable[[], None]) -> None:
        """Make an alarm that is not set; its deadlines count from ``origin``, monotonic ns."""
        self._origin = origin
        self._ticket = 0
        self._closed = False
        self.lock = lock
        self.callback = callback

    def arm(self, deadline: int) -> None:
        """Ring once, ``deadline`` ns after the origin; this replaces any earlier deadline."""
        if not self._closed:
            self._ticket = _queue.put(self, self._ticket, deadline + self._origin)

    def cancel(self) -> None:
        """Forget the deadline; harmless when none is set."""
        _queue.remove(self._ticket)

    def close(self) -> None:
        """Never ring again."""
        self._closed = True
        self.cancel()


class _Queue:
    """Deadlines in order. An entry whose ticket is no longer armed is stale."""

    def __init__(self) -> None:
        self._guard = allocate_lock()
        self._entries: list[tuple[int, int]] = []  # deadline, ticket
        self._armed: dict[int, Alarm] = {}
        self._last_ticket = 0
        self._running = False
        self._looks_at = _NEVER  # when the thread comes back by itself
        self._wake = allocate_lock()
        self._wake.acquire()

    def put(self, alarm: Alarm, old: int, deadline: int) -> int:
        """Arm ``alarm`` anew, forget its ``old`` ticket, and return the new one."""
        with self._guard:
            self._armed.pop(old, None)
            self._last_ticket += 1
            ticket = self._last_ticket
            self._armed[ticket] = alarm
            heappush(self._entries, (deadline, ticket))
            if len(self._entries) > 2 * len(self._armed) + _SPARE_ENTRIES:
                self._compact()
            if not self._running:
                start_thread(self._serve)
                self._running = True
            elif deadline < self._looks_at and self._wake.locked():
                self._wake.release()
            return ticket

    def remove(self, ticket: int) -> None:
        """Let the entry with ``ticket`` turn stale."""
        self._armed.pop(ticket, None)

    def _compact(self) -> None:
        """Drop stale entries: a guest may move one far deadline again and again."""
        self._entries = [entry for entry in self._entries if entry[1] in self._armed]
        heapify(self._entries)

    def _serve(self) -> None:
        while True:
            with self._guard:
                due, wait = self._due()
            if due:
                self._ring(due)
            else:
                self._wake.acquire(timeout=wait / _NS)

    def _due(self) -> tuple[int, int]:
        """Take the ticket of the first alarm that is due; without one, 0 and the ns to wait."""
        entries = self._entries
        while entries and entries[0][1] not in self._armed:
            heappop(entries)
        self._looks_at = entries[0][0] if entries else _NEVER
        wait = self._looks_at - monotonic_ns()
        if wait > 0:
            return 0, min(wait, _LONGEST_WAIT)
        return heappop(entries)[1], 0

    def _ring(self, ticket: int) -> None:
        alarm = self._armed.get(ticket)
        if alarm is None:
            return
        if not alarm.lock.acquire(timeout=_PATIENCE / _NS):
            with self._guard:
                heappush(self._entries, (monotonic_ns() + _PATIENCE, ticket))
            return
        try:
            # Whoever cancels or re-arms holds the same lock, so a stale ticket stays stale.
            if self._armed.pop(ticket, None):
                alarm.callback()
        except Exception:
            # One machine's failure must not stop the time of the others.
            sys.excepthook(*sys.exc_info())
        finally:
            alarm.lock.release()


_queue = _Queue()


def _start_over() -> None:
    """Forget what the parent process had: its thread is not here."""
    global _queue
    _queue = _Queue()


os.register_at_fork(after_in_child=_start_over)
