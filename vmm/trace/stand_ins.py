"""What stands for the rest of a machine in a replay."""

from __future__ import annotations

from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final


class ReplayClock:
    """A clock that shows the recorded times. Alarms go off by the record, not by themselves."""

    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        """Return the recorded time."""
        return self.time

    def timer(self, callback: Callable[[], None]) -> _Alarm:
        """Return a new alarm."""
        return _Alarm()


class _Alarm:
    def arm(self, deadline: int) -> None:
        pass

    def cancel(self) -> None:
        pass


def ignore(*_: object) -> None:
    """An interrupt line, a sink, a switch: what a device does to the rest of its machine."""


# What constructors of devices take, by name; the clock comes besides.
WIRES: Final[dict[str, Any]] = {
    "irq": ignore,
    "sink": ignore,
    "messages": ignore,
    "shutdown": ignore,
    "reset": ignore,
    "wall_clock": lambda: 0,
    "source": bytes,
}


class UnrecordedRam:
    """The RAM of a peripheral that was not recorded."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, gpa: int, view: memoryview) -> None:
        """Nothing is known of it."""
        raise not_recorded(self._name)

    def refresh(self, gpa: int, view: memoryview) -> None:
        """Nothing is known of it."""
        raise not_recorded(self._name)

    def write(self, gpa: int, view: memoryview) -> None:
        """What it writes was not recorded either, and is not missed."""

    def discard(self, gpa: int, length: int) -> None:
        """Likewise."""


def not_recorded(name: str) -> UsageError:
    """Return what to say of a device whose RAM is not in the trace."""
    return UsageError(
        f"{name} reads RAM, which is not in this trace: record it with --trace FILE,replay"
    )
