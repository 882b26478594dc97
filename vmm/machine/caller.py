"""How threads of the host make calls of the guest: submit, let the guest run, wait.

The thread that waits for a call executes the guest itself, so that a call costs no change of
threads. Where another thread executes it already (`Machine.start`, or a call of another task),
that one wakes it.
"""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic

from vmm.errors import GuestStopped, GuestTimeout, VmmError
from vmm.hypercall.ring import ENTRIES
from vmm.machine import outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Final, Protocol

    from vmm.hypercall.ring import Ring
    from vmm.machine.clock import MachineClock
    from vmm.machine.outcome import Outcome

    class Host(Protocol):
        """The machine that executes the guest."""

        clock: MachineClock
        outcome: Outcome | None
        turn: LockType

        def run_part(self, done: Callable[[], bool] | None) -> None: ...
        def interrupt(self) -> None: ...
        def wake(self) -> None: ...
        def time_out(self) -> None: ...
        def crash_report(self) -> str: ...


_NS: Final = 1_000_000_000


class Call:
    """One call that was submitted.

    Attributes:
        done: its result is there.
        result: what the guest answered: at least 0, or a negative errno.
    """

    __slots__ = ("done", "gate", "result", "tag")

    def __init__(self, tag: int) -> None:
        self.tag = tag
        self.done = False
        self.result = 0
        self.gate = allocate_lock()


class Caller:
    """Makes calls through one ring, from any thread.

    Attributes:
        ring: where the calls go through.
        timeout: how many seconds a call may take; None: any time.
    """

    def __init__(self, host: Host, ring: Ring) -> None:
        self.ring = ring
        self.timeout: float | None = None
        self._host = host
        self._guard = allocate_lock()
        self._pending: dict[int, Call] = {}
        self._last_tag = 0
        self._waiters: list[Call] = []
        # Of the thread that executes the guest: the call that it does so for, and until when.
        self._current: Call | None = None
        self._deadline: float | None = None
        self._alarm = host.clock.timer(self._on_alarm)
        self._alarm_time: float | None = None

    def submit(self, operation: int, flags: int, task: int, number: int, *arguments: int) -> Call:
        """Ask the guest for something; ``arguments`` are six 64-bit words.

        Raises:
            GuestStopped: if the guest has ended.
            VmmError: if too many calls are in flight.
        """
        if self._host.outcome is not None:
            raise self._stopped()
        with self._guard:
            if len(self._pending) >= ENTRIES:
                raise VmmError(f"{ENTRIES} service calls are in flight: no more fit into the ring")
            self._last_tag += 1
            call = Call(self._last_tag)
            self._pending[call.tag] = call
            self.ring.submit(call.tag, operation, flags, task, number, *arguments)
        if self._host.turn.locked():
            self._host.wake()
        return call

    def wait(self, call: Call) -> int:
        """Let the guest run until ``call`` is done, and return its result.

        Raises:
            GuestStopped: if the guest ends first.
            GuestTimeout: if it takes longer than `timeout`; the guest has been stopped then.
        """
        deadline = None if self.timeout is None else monotonic() + self.timeout
        while True:
            if not call.done and not self._execute(call, deadline):
                self._wait_for_others(call, deadline)
            if call.done:
                return call.result
            if self._host.outcome is not None:
                raise self._stopped()
            if deadline is not None and monotonic() >= deadline:
                self._host.time_out()
                self._execute(call, None)

    @property
    def ended(self) -> bool:
        """Tell whether the guest has ended: no call will be answered any more."""
        return self._host.outcome is not None

    def collect(self) -> bool:
        """Take what the guest has completed; tell whether the thread that calls this waits for it.

        For the thread that executes the guest.
        """
        for tag, result in self.ring.collect():
            call = self._pending.pop(tag, None)
            if call is None:
                continue  # a guest may write anything
            call.result = result
            call.done = True
            if call.gate.locked():
                call.gate.release()
        current = self._current
        return current is not None and current.done

    def release_waiters(self) -> None:
        """Let all threads that wait look at what has become of their calls."""
        for call in self._waiters.copy():
            if call.gate.locked():
                call.gate.release()

    # ---- Waiting ----

    def _execute(self, call: Call, deadline: float | None) -> bool:
        """Execute the guest until ``call`` is done or late; False where another thread does."""

        def done() -> bool:
            return call.done or (deadline is not None and monotonic() >= deadline)

        host = self._host
        if not host.turn.acquire(False):
            return False
        self._current, self._deadline = call, deadline
        if deadline is not None:
            self._set_alarm(deadline)
        try:
            if not call.done:
                host.run_part(done)
        finally:
            self._current = None
            host.turn.release()
        if self._waiters:
            self.release_waiters()
        return True

    def _wait_for_others(self, call: Call, deadline: float | None) -> None:
        """Wait until ``call`` is done, or it may be this thread's turn to execute the guest."""
        call.gate.acquire(False)
        self._waiters.append(call)
        try:
            if not call.done and not self._execute(call, deadline):
                remaining = -1 if deadline is None else max(deadline - monotonic(), 0)
                call.gate.acquire(timeout=remaining)
        finally:
            self._waiters.remove(call)

    def _set_alarm(self, deadline: float) -> None:
        """Have the guest stopped for a look at the time when the call may be late.

        One alarm serves many calls: when it goes off, it is set again for the call of that time.
        """
        if self._alarm_time is not None and self._alarm_time <= deadline:
            return
        self._alarm_time = deadline
        self._alarm.arm(self._host.clock.now() + int((deadline - monotonic()) * _NS))

    def _on_alarm(self) -> None:
        self._alarm_time = None
        if self._current is None or self._deadline is None:
            return
        if monotonic() >= self._deadline:
            self._host.interrupt()
        else:
            self._set_alarm(self._deadline)

    def _stopped(self) -> VmmError:
        end = self._host.outcome
        assert end is not None
        if end.kind == outcome.TIMED_OUT:
            return GuestTimeout(f"the guest was stopped: a call took more than {self.timeout} s")
        lines = end.message.splitlines()
        said = f": {lines[0]}" if lines else f" with status {end.status}"
        return GuestStopped(f"the guest {end.kind}{said}", self._host.crash_report())
