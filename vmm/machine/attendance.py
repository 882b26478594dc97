"""Whoever waits for a guest executes it meanwhile; behind that a thread of its own goes on with it.

A machine in which something is waited for needs no change of threads then. The thread starts when
nobody has waited again for a moment, in which nobody executes the guest.
"""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Final, Protocol

    from vmm.machine.clock import MachineClock
    from vmm.machine.outcome import Outcome

    class Host(Protocol):
        """The machine that executes the guest."""

        clock: MachineClock
        outcome: Outcome | None
        turn: LockType

        def run_part(self, done: Callable[[], bool] | None) -> None: ...
        def run_beside(self) -> None: ...
        def interrupt(self) -> None: ...


_NS: Final = 1_000_000_000

# More than anybody waits (s), even who waits for ever.
_LONGEST: Final = 1_000_000_000

# How long that moment is (ns): little beside what starting and stopping a thread costs.
_PAUSE: Final = 200_000


class Attendance:
    """The wait for a machine's guest, of one thread at a time."""

    def __init__(self, host: Host) -> None:
        self._host = host
        # Two, for one thread may begin to wait while another one is about to pause the guest.
        self._deadline = host.clock.timer(host.interrupt)
        self._pause_end = host.clock.timer(self._go_on)
        # Free while the guest is paused: who takes it goes on with the guest.
        self._pause = allocate_lock()
        self._pause.acquire()

    def execute(self, done: Callable[[], bool], deadline: float) -> None:
        """Execute the guest until ``done``, or its end, or ``deadline``; then pause it.

        For whoever may execute it. ``done`` is asked whenever the guest was interrupted;
        ``deadline`` is a time of `time.monotonic`, in seconds. Raises what ``done`` raises.
        """

        def over() -> bool:
            return done() or monotonic() >= deadline

        host = self._host
        try:
            remaining = min(_LONGEST, max(0, deadline - monotonic()))
            self._deadline.arm(host.clock.now() + int(remaining * _NS))
            with host.turn:
                if not over():
                    host.run_part(over)
        finally:
            self._deadline.cancel()
            if host.outcome is None:
                self._pause.release()
                self._pause_end.arm(host.clock.now() + _PAUSE)

    def resume(self) -> bool:
        """Take a paused guest, to go on with it; False if it is not paused."""
        if not self._pause.acquire(False):
            return False
        self._pause_end.cancel()
        return True

    def _go_on(self) -> None:
        if self.resume():
            self._host.run_beside()
