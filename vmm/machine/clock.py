"""Guest time, and the alarms that devices set on it."""

from __future__ import annotations

from time import monotonic_ns

from vmm.machine.alarms import Alarm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm.lines import Timer
    from vmm.machine.alarms import Lock


class MachineClock:
    """Monotonic nanoseconds since the machine was created, and alarms at points of that time.

    Callbacks run on the thread of all alarms (`vmm.machine.alarms`), with ``lock`` held.
    """

    def __init__(self, lock: Lock) -> None:
        self._origin = monotonic_ns()
        self._lock = lock
        self._alarms: list[Alarm] = []

    def now(self) -> int:
        """Return the guest time in nanoseconds."""
        return monotonic_ns() - self._origin

    def timer(self, callback: Callable[[], None]) -> Timer:
        """Return a new alarm that is not set."""
        alarm = Alarm(self._origin, self._lock, callback)
        self._alarms.append(alarm)
        return alarm

    def close(self) -> None:
        """Let no alarm ring any more, also none that is set from now on."""
        for alarm in self._alarms:
            alarm.close()
        self._alarms.clear()
