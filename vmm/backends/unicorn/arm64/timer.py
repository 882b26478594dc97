"""The generic timers of an arm64 vCPU (Arm ARM D11.2): two comparators of one counter.

The engine has the counters themselves (CNTVCT_EL0, CNTPCT_EL0, CNTFRQ_EL0); its timers do nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.lines import Clock, InterruptLine

# CNTFRQ_EL0 as the engine has it: one tick is 16 ns of the host's monotonic clock.
COUNTER_HZ: Final = 62_500_000
TICK_NS: Final = 1_000_000_000 // COUNTER_HZ

# CNTx_CTL_EL0
_ENABLE: Final = 1 << 0
_IMASK: Final = 1 << 1
_ISTATUS: Final = 1 << 2

_U32: Final = 0xFFFF_FFFF
_U64: Final = 0xFFFF_FFFF_FFFF_FFFF


class GenericTimer:
    """One comparator: CNTV_* or CNTP_*.

    Everything here is called with the bus lock held.
    """

    def __init__(self, clock: Clock, counter: Callable[[], int]) -> None:
        """Make a disabled timer for ``counter``, the guest's counter now, in ticks."""
        self._clock = clock
        self._counter = counter
        self._alarm = clock.timer(self._update)
        self._control = 0
        self._compare = 0
        self._level = False
        self._line: InterruptLine | None = None

    def connect(self, line: InterruptLine) -> None:
        """Connect the output."""
        self._line = line
        if self._level:
            line(True)

    def read_control(self) -> int:
        """Return CTL: ENABLE, IMASK and, while enabled, ISTATUS."""
        return self._control | (_ISTATUS if self._expired() else 0)

    def write_control(self, value: int) -> None:
        """Set ENABLE and IMASK of CTL."""
        self._control = value & (_ENABLE | _IMASK)
        self._update()

    def read_compare(self) -> int:
        """Return CVAL."""
        return self._compare

    def write_compare(self, value: int) -> None:
        """Set CVAL."""
        self._compare = value & _U64
        self._update()

    def read_value(self) -> int:
        """Return TVAL: what is left of the time, as 32 bits."""
        return (self._compare - self._counter()) & _U32

    def write_value(self, value: int) -> None:
        """Set TVAL: a signed distance of CVAL from the counter."""
        distance = ((value & _U32) ^ 0x8000_0000) - 0x8000_0000
        self.write_compare(self._counter() + distance)

    def _expired(self) -> bool:
        return bool(self._control & _ENABLE) and self._counter() >= self._compare

    def _update(self) -> None:
        """Drive the output and set the alarm that will change it next."""
        expired = self._expired()
        level = expired and not self._control & _IMASK
        if level != self._level:
            self._level = level
            if self._line is not None:
                self._line(level)
        if self._control == _ENABLE and not expired:
            left = self._compare - self._counter()
            self._alarm.arm(self._clock.now() + max(left, 1) * TICK_NS)
        else:
            self._alarm.cancel()
