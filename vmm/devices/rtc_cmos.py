"""The real-time clock of a PC, a Motorola MC146818, and the CMOS RAM that shares its battery.

The update cycle takes no time: status A never shows one in progress. Deviations: the flags of
status C are raised only while their interrupts are enabled, and daylight saving is not observed.
"""

from __future__ import annotations

from vmm.devices.civil import date_from_days, days_from_date
from vmm.devices.device import OutputPin, internal
from vmm.devices.registers import (
    RO,
    UNMODELLED,
    WO,
    Register,
    RegisterArray,
    RegisterDevice,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import ClassVar, Final

    from vmm.lines import Clock, InterruptLine

SECOND_NS: Final = 1_000_000_000
DAY: Final = 86_400

# What the index port selects.
CMOS: Final = "CMOS"

# Elements of TIME; the odd ones up to 5 are the alarm's seconds, minutes and hours.
HOURS: Final = 4
HOURS_ALARM: Final = 5
TIME_INDEXES: Final = (0, 2, 4, 6, 7, 8, 9)

# In an alarm byte, both top bits mean: any value matches.
ANY: Final = 0xC0
PM: Final = 0x80


class RtcCmos(RegisterDevice, width=8):
    """A region of two ports, at 0x70.

    Args:
        irq: IRQ 8.
        clock: sets the pace of interrupts.
        wall_clock: nanoseconds since 1970, UTC; what the clock shows until the guest sets it.
        contents: CMOS RAM after power-on, by index from 14 to 127; firmware keeps memory sizes
            there.
    """

    SOURCES: ClassVar[tuple[str, ...]] = ("_wall_clock",)

    INDEX = Register(0, "Index", WO)
    INDEX_NMI = INDEX.bit(7, "NMI disable", UNMODELLED)
    INDEX_ADDRESS = INDEX.bits(6, 0, "the byte behind DATA")
    DATA = Register(1, "Data")

    TIME = RegisterArray(
        0x00, 10, "Second, minute, hour, each with alarm; week day, date", bank=CMOS
    )
    A = Register(0x0A, "Status A", reset=0x26, bank=CMOS)
    A_UIP = A.bit(7, "update in progress", RO)
    A_DV = A.bits(6, 4, "divider")
    A_RS = A.bits(3, 0, "rate of the periodic interrupt: 32768 Hz >> RS - 1")
    B = Register(0x0B, "Status B", reset=0x02, bank=CMOS)
    B_SET = B.bit(7, "the time stands still and can be set")
    B_PIE = B.bit(6, "periodic interrupt enable")
    B_AIE = B.bit(5, "alarm interrupt enable")
    B_UIE = B.bit(4, "update-ended interrupt enable")
    B_SQWE = B.bit(3, "square wave enable")
    B_DM = B.bit(2, "binary, else BCD")
    B_24 = B.bit(1, "24 hours, else 12 with bit 7 for PM")
    B_DSE = B.bit(0, "daylight saving", UNMODELLED)
    C = Register(0x0C, "Status C: cleared by reading", RO, bank=CMOS)
    C_IRQF = C.bit(7, "interrupt request")
    C_PF = C.bit(6, "periodic")
    C_AF = C.bit(5, "alarm")
    C_UF = C.bit(4, "update ended")
    D = Register(0x0D, "Status D", RO, reset=0x80, bank=CMOS)
    D_VRT = D.bit(7, "time and RAM are valid")
    CENTURY = Register(0x32, "Century", bank=CMOS)
    RAM = RegisterArray(0x0E, 0x80 - 0x0E, "RAM", bank=CMOS)

    # How far the guest's clock is ahead of the wall clock, in seconds.
    _ahead = internal(0)
    # What the guest's clock shows while it stands still, in seconds since 1970.
    _stopped_at = internal(0)
    _alarms = internal([0, 0, 0])

    def __init__(
        self,
        *,
        irq: InterruptLine,
        clock: Clock,
        wall_clock: Callable[[], int],
        contents: Mapping[int, int] | None = None,
    ) -> None:
        self.irq = OutputPin(irq)
        self._clock = clock
        self._wall_clock = wall_clock
        self._contents = dict(contents or {})
        self._periodic = clock.timer(self._period_over)
        self._update = clock.timer(self._second_over)
        super().__init__()

    def reset(self) -> None:
        super().reset()
        for index, byte in self._contents.items():
            self.write_bank(CMOS, index, 1, byte)
        self._set_periodic()
        self._set_update()
        self.irq(False)

    def loaded(self) -> None:
        self._set_periodic()
        self._set_update()
        self.irq(bool(self.C & self.C_IRQF))

    def decode(self, offset: int, value: int, write: bool) -> tuple[str, dict[str, int]]:
        if offset == self.registers["DATA"].offset:
            return self.decode_bank(CMOS, self.INDEX & self.INDEX_ADDRESS, value, write)
        return super().decode(offset, value, write)

    # ---- Registers ----

    @DATA.on_read
    def _read_data(self) -> int:
        return self.read_bank(CMOS, self.INDEX & self.INDEX_ADDRESS, 1)

    @DATA.on_write
    def _write_data(self, value: int) -> None:
        self.write_bank(CMOS, self.INDEX & self.INDEX_ADDRESS, 1, value)

    @TIME.on_read
    def _read_time(self, index: int) -> int:
        if index not in TIME_INDEXES:
            return self._alarms[index // 2]
        return self._encode(index, self._date_and_time()[TIME_INDEXES.index(index)])

    @TIME.on_write
    def _write_time(self, index: int, value: int) -> None:
        if index not in TIME_INDEXES:
            self._alarms[index // 2] = value
            return
        fields = self._date_and_time()
        fields[TIME_INDEXES.index(index)] = self._decode(index, value)
        self._set_date_and_time(fields)

    @CENTURY.on_read
    def _read_century(self) -> int:
        return self._encode(0, self._date_and_time()[-1])

    @CENTURY.on_write
    def _write_century(self, value: int) -> None:
        fields = self._date_and_time()
        fields[-1] = self._decode(0, value)
        self._set_date_and_time(fields)

    @A.after_write
    def _set_periodic(self) -> None:
        """Set the alarm of the periodic interrupt, one period from now."""
        rate = self.A_RS.of(self.A)
        if self.B & self.B_PIE and rate:
            # The two fastest rates are those of 8 and 9 again.
            shift = rate + 7 if rate <= 2 else rate
            self._periodic.arm(self._clock.now() + (SECOND_NS << shift - 1) // 32_768)
        else:
            self._periodic.cancel()

    def _set_update(self) -> None:
        """Set the alarm of the next update of the time, if it would interrupt."""
        if self.B & (self.B_AIE | self.B_UIE) and not self.B & self.B_SET:
            self._update.arm(self._clock.now() + SECOND_NS - self._wall_clock() % SECOND_NS)
        else:
            self._update.cancel()

    @B.on_write
    def _write_b(self, value: int) -> None:
        stop, stopped = value & self.B_SET, self.B & self.B_SET
        if stop and not stopped:
            self._stopped_at = self._seconds()
        elif stopped and not stop:
            self._ahead = self._stopped_at - self._wall_clock() // SECOND_NS
        self.B = value & ~self.B_UIE if stop else value
        self._set_periodic()
        self._set_update()

    @C.on_read
    def _read_c(self) -> int:
        value, self.C = self.C, 0
        self.irq(False)
        return value

    # ---- Time ----

    def _seconds(self) -> int:
        if self.B & self.B_SET:
            return self._stopped_at
        return self._wall_clock() // SECOND_NS + self._ahead

    def _date_and_time(self) -> list[int]:
        """Return second, minute, hour, week day, day, month, year and century of the guest."""
        days, second = divmod(self._seconds(), DAY)
        year, month, day = date_from_days(days)
        weekday = (days + 4) % 7 + 1  # 1970-01-01 was a Thursday; Sunday is 1
        time = [second % 60, second // 60 % 60, second // 3600]
        return [*time, weekday, day, month, year % 100, year // 100]

    def _set_date_and_time(self, fields: list[int]) -> None:
        second, minute, hour, _, day, month, year, century = fields
        days = days_from_date(100 * century + year, month, day)
        seconds = days * DAY + 3600 * hour + 60 * minute + second
        if self.B & self.B_SET:
            self._stopped_at = seconds
        else:
            self._ahead = seconds - self._wall_clock() // SECOND_NS

    def _encode(self, index: int, number: int) -> int:
        afternoon = 0
        if index in (HOURS, HOURS_ALARM) and not self.B & self.B_24:
            afternoon = PM if number >= 12 else 0
            number = (number + 11) % 12 + 1
        if not self.B & self.B_DM:
            number = number // 10 << 4 | number % 10
        return (number | afternoon) & 0xFF

    def _decode(self, index: int, byte: int) -> int:
        twelve = index == HOURS and not self.B & self.B_24
        number = byte & ~PM if twelve else byte
        if not self.B & self.B_DM:
            number = (number >> 4) * 10 + (number & 0xF)
        if twelve:
            number = number % 12 + (12 if byte & PM else 0)
        return number

    # ---- Interrupts ----

    def _period_over(self) -> None:
        self._raise(self.C_PF)
        self._set_periodic()

    def _second_over(self) -> None:
        flags = int(self.C_UF)
        time = self._date_and_time()
        if all(
            alarm & ANY == ANY or alarm == self._encode(2 * n, time[n])
            for n, alarm in enumerate(self._alarms)
        ):
            flags |= self.C_AF
        self._raise(flags)
        self._set_update()

    def _raise(self, flags: int) -> None:
        self.C |= flags
        if self.C & self.B & (self.C_PF | self.C_AF | self.C_UF):
            self.C |= self.C_IRQF
            self.irq(True)
