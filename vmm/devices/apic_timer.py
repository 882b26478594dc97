"""The timer of a local APIC: counts down from a number, once or again and again."""

from __future__ import annotations

from vmm.devices.device import Device, internal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.lines import Clock

# A guest may ask for an interrupt every nanosecond; the VMM must not do nothing else for ever.
MIN_PERIOD_NS: Final = 100_000

_SECOND: Final = 1_000_000_000


class ApicTimer(Device):
    """Counts ``hz >> shift`` times a second from the initial count to 0.

    Args:
        clock: the time.
        hz: frequency before division.
        on_expiry: called each time 0 is reached.
    """

    # Starts over at 0; set by whoever owns the timer.
    periodic = internal(False)

    _initial = internal(0)
    _shift = internal(1)
    _deadline = internal(0)  # when 0 is reached; 0 while stopped

    def __init__(self, clock: Clock, hz: int, on_expiry: Callable[[], None]) -> None:
        self._clock = clock
        self._hz = hz
        self._on_expiry = on_expiry
        self._alarm = clock.timer(self._expired)
        super().__init__()

    def start(self, count: int) -> None:
        """Count down from ``count``; 0 stops."""
        self._initial = count
        self._count_from(count)

    def set_shift(self, shift: int) -> None:
        """Divide the frequency by ``1 << shift`` from now on."""
        count = self.count()
        self._shift = shift
        if self._deadline:
            self._count_from(count)

    def count(self) -> int:
        """Return the current count."""
        if not self._deadline:
            return 0
        left = max(self._deadline - self._clock.now(), 0)
        return min(-(-left * self._hz // (_SECOND << self._shift)), self._initial)

    def reset(self) -> None:
        super().reset()
        self._alarm.cancel()

    def loaded(self) -> None:
        if self._deadline:
            self._alarm.arm(self._deadline)
        else:
            self._alarm.cancel()

    def _count_from(self, count: int) -> None:
        if not count:
            self._deadline = 0
            self._alarm.cancel()
            return
        self._deadline = self._clock.now() + self._duration(count)
        self._alarm.arm(self._deadline)

    def _duration(self, count: int) -> int:
        return max((count << self._shift) * _SECOND // self._hz, 1)

    def _expired(self) -> None:
        if not self._deadline:
            return
        if self.periodic:
            # Periods that nobody served are skipped, not made up for.
            period = max(self._duration(self._initial), MIN_PERIOD_NS)
            late = max(self._clock.now() - self._deadline, 0)
            self._deadline += period * (late // period + 1)
            self._alarm.arm(self._deadline)
        else:
            self._deadline = 0
        self._on_expiry()
