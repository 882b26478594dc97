"""The real-time clock of Arm's boards: PrimeCell RTC PL031 (DDI 0224).

It counts seconds; by convention since 1970, UTC.
"""

from __future__ import annotations

from vmm.devices.device import OutputPin, internal
from vmm.devices.registers import RO, WO, Register, RegisterArray, RegisterDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Final

    from vmm.lines import Clock, InterruptLine

# Part 0x031, designer 0x41 (Arm), revision 1; the PrimeCell's signature.
PERIPHERAL_ID: Final = (0x31, 0x10, 0x14, 0x00)
PRIMECELL_ID: Final = (0x0D, 0xF0, 0x05, 0xB1)

SECOND_NS: Final = 1_000_000_000
_WORD: Final = 0xFFFF_FFFF


class Pl031(RegisterDevice):
    """A PL031; register names are the manual's without the prefix RTC.

    Args:
        irq: RTCINTR.
        clock: sets the pace of the match interrupt.
        wall_clock: nanoseconds since 1970, UTC; what it shows until the guest sets it.
    """

    SIZE: ClassVar[int] = 0x1000
    SOURCES: ClassVar[tuple[str, ...]] = ("_wall_clock",)

    DR = Register(0x000, "Data: seconds", RO)
    MR = Register(0x004, "Match")
    LR = Register(0x008, "Load: sets the seconds")
    CR = Register(0x00C, "Control", reset=1)
    CR_START = CR.bit(0, "the clock runs; it cannot be stopped", RO)
    IMSC = Register(0x010, "Interrupt Mask Set or Clear: 1 enables")
    IMSC_INTERRUPT = IMSC.bit(0, "match")
    RIS = Register(0x014, "Raw Interrupt Status", RO)
    RIS_INTERRUPT = RIS.bit(0, "match")
    MIS = Register(0x018, "Masked Interrupt Status", RO)
    MIS_INTERRUPT = MIS.bit(0, "match")
    ICR = Register(0x01C, "Interrupt Clear", WO)
    ICR_INTERRUPT = ICR.bit(0, "match")
    PERIPHID = RegisterArray(0xFE0, 4, "Peripheral Identification", RO)
    PCELLID = RegisterArray(0xFF0, 4, "PrimeCell Identification", RO)

    STATE_VERSION: ClassVar[int] = 2

    # How far the guest's clock is ahead of the wall clock, in seconds.
    _ahead = internal(0)
    _match_wanted = internal(False)
    # The second of the match to come, as the guest's clock counts them without wrapping around.
    _due: int | None = internal(None)

    def __init__(self, *, irq: InterruptLine, clock: Clock, wall_clock: Callable[[], int]) -> None:
        self.irq = OutputPin(irq)
        self._clock = clock
        self._wall_clock = wall_clock
        self._match = clock.timer(self._matched)
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self._match.cancel()
        self.irq(False)

    def loaded(self) -> None:
        self._arm()
        self._update_irq()

    @DR.on_read
    def _seconds(self) -> int:
        return self._all_seconds() & _WORD

    @LR.on_write
    def _load(self, value: int) -> None:
        self.LR = value
        self._ahead = value - self._wall_clock() // SECOND_NS
        self._set_alarm()

    @MR.after_write
    def _want_match(self) -> None:
        self._match_wanted = True
        self._set_alarm()

    def _set_alarm(self) -> None:
        """Set the alarm for when the seconds reach MR; they may have to wrap around for it."""
        if not self._match_wanted:
            return
        now = self._all_seconds()
        self._due = now + (self.MR - now & _WORD)
        self._arm()

    def _arm(self) -> None:
        """Let the alarm ring when the match is due: at once, if that passed in a restore."""
        if self._due is None:
            self._match.cancel()
            return
        wait = (self._due - self._ahead) * SECOND_NS - self._wall_clock()
        self._match.arm(self._clock.now() + max(wait, 0))

    def _all_seconds(self) -> int:
        return self._wall_clock() // SECOND_NS + self._ahead

    @MIS.on_read
    def _masked_status(self) -> int:
        return self.RIS & self.IMSC

    @ICR.on_write
    def _clear(self, value: int) -> None:
        self.RIS &= ~value
        self._update_irq()

    @PERIPHID.on_read
    def _peripheral_id(self, index: int) -> int:
        return PERIPHERAL_ID[index]

    @PCELLID.on_read
    def _primecell_id(self, index: int) -> int:
        return PRIMECELL_ID[index]

    def _matched(self) -> None:
        self._due = None
        self.RIS |= self.RIS_INTERRUPT
        self._update_irq()

    @IMSC.after_write
    def _update_irq(self) -> None:
        self.irq(bool(self.RIS & self.IMSC))
