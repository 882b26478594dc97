"""The real-time clock of a PC, a Motorola MC146818, and the CMOS RAM that shares its battery.

Nothing ticks here: what has happened is found out when the guest looks, and by an alarm for what
is to interrupt. Deviations: the update cycle takes no time, though status A announces it as the
datasheet says; the divider always divides by what makes a second; daylight saving is not observed.
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
    from collections.abc import Callable, Iterable, Mapping
    from typing import ClassVar, Final

    from vmm.lines import Clock, InterruptLine

SECOND_NS: Final = 1_000_000_000
DAY: Final = 86_400

# Frequency of the crystal, from which the periods of the periodic interrupt are divided.
CRYSTAL_HZ: Final = 32_768

# How long before an update status A announces it.
UPDATE_NOTICE_NS: Final = 244_000

# What the index port selects.
CMOS: Final = "CMOS"

# Elements of TIME; the odd ones up to 5 are the alarm's seconds, minutes and hours.
HOURS: Final = 4
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

    STATE_VERSION: ClassVar[int] = 2

    # How far the guest's clock is ahead of the wall clock, in seconds.
    _ahead = internal(0)
    # The bytes of the time while it stands still, as in `_time_bytes`.
    _stopped_at = internal(bytearray())
    _alarms = internal([0, 0, 0])
    # The second and the period up to which flags were raised; of the first, 0 is none yet.
    _second = internal(0)
    _period = internal(0)

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
        self._alarm = clock.timer(self._catch_up)
        super().__init__()

    def reset(self) -> None:
        super().reset()
        for index, byte in self._contents.items():
            self.write_bank(CMOS, index, 1, byte)
        self._alarm.cancel()
        self.irq(False)

    def loaded(self) -> None:
        self.irq(bool(self.C & self.C_IRQF))
        self._set_alarm()

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
        return self._time_bytes()[TIME_INDEXES.index(index)]

    @TIME.on_write
    def _write_time(self, index: int, value: int) -> None:
        self._catch_up()
        if index in TIME_INDEXES:
            self._set_time_byte(TIME_INDEXES.index(index), value)
        else:
            self._alarms[index // 2] = value

    @CENTURY.on_read
    def _read_century(self) -> int:
        return self._time_bytes()[-1]

    @CENTURY.on_write
    def _write_century(self, value: int) -> None:
        self._set_time_byte(-1, value)

    @A.on_read
    def _read_a(self) -> int:
        soon = self._wall_clock() % SECOND_NS >= SECOND_NS - UPDATE_NOTICE_NS
        return self.A | (self.A_UIP if soon and not self.B & self.B_SET else 0)

    @A.after_write
    def _rate_changed(self) -> None:
        self._period = self._periods()
        self._catch_up()

    @B.on_write
    def _write_b(self, value: int) -> None:
        self._catch_up()
        stop, stopped = value & self.B_SET, self.B & self.B_SET
        if stop and not stopped:
            self._stopped_at = self._time_bytes()
        self.B = value & ~self.B_UIE if stop else value
        if stopped and not stop:
            self._go_on_from(self._stopped_at)
        self._catch_up()

    @C.on_read
    def _read_c(self) -> int:
        self._catch_up()
        value, self.C = self.C, 0
        self._catch_up()
        return value

    # ---- Time ----

    def _seconds(self) -> int:
        """Return what the guest's clock shows, in seconds since 1970, unless it stands still."""
        return self._wall_clock() // SECOND_NS + self._ahead

    def _time_bytes(self) -> bytearray:
        """Return the registers of second, minute, hour, week day, day, month, year, century."""
        if self.B & self.B_SET:
            return self._stopped_at
        days, second = divmod(self._seconds(), DAY)
        year, month, day = date_from_days(days)
        weekday = (days + 4) % 7 + 1  # 1970-01-01 was a Thursday; Sunday is 1
        hour = self._encode_hour(second // 3600)
        fields = (second % 60, second // 60 % 60, weekday, day, month, year % 100, year // 100)
        shown = bytearray(map(self._encode, fields))
        shown.insert(2, hour)
        return shown

    def _set_time_byte(self, position: int, value: int) -> None:
        """Set one register of the time; while it stands still, they need not make sense yet."""
        shown = self._time_bytes()
        shown[position] = value
        if not self.B & self.B_SET:
            self._go_on_from(shown)

    def _go_on_from(self, shown: bytearray) -> None:
        second, minute, _, _, day, month, year, century = map(self._decode, shown)
        days = days_from_date(100 * century + year, month, day)
        time = 3600 * self._decode_hour(shown[2]) + 60 * minute + second
        self._second = days * DAY + time
        self._ahead = self._second - self._wall_clock() // SECOND_NS

    def _encode(self, number: int) -> int:
        if not self.B & self.B_DM:
            number = number // 10 << 4 | number % 10
        return number & 0xFF

    def _decode(self, byte: int) -> int:
        return byte if self.B & self.B_DM else (byte >> 4) * 10 + (byte & 0xF)

    def _encode_hour(self, hour: int) -> int:
        if self.B & self.B_24:
            return self._encode(hour)
        return self._encode((hour + 11) % 12 + 1) | (PM if hour >= 12 else 0)

    def _decode_hour(self, byte: int) -> int:
        if self.B & self.B_24:
            return self._decode(byte)
        return self._decode(byte & ~PM) % 12 + (12 if byte & PM else 0)

    # ---- Interrupts ----

    def _catch_up(self) -> None:
        """Raise the flags of what has happened, and interrupt for those that are enabled."""
        period = self._periods()
        if period != self._period:
            self._period = period
            self.C |= self.C_PF
        if not self.B & self.B_SET:
            self._update_seconds()
        wanted = self.C & self.B & (self.C_PF | self.C_AF | self.C_UF)
        self.C = self.C & ~self.C_IRQF | (self.C_IRQF if wanted else 0)
        self.irq(bool(wanted))
        self._set_alarm()

    def _update_seconds(self) -> None:
        before, self._second = self._second, self._seconds()
        if before in (0, self._second):
            return
        self.C |= self.C_UF
        if not self.C & self.C_AF and self._alarm_passed(before, self._second):
            self.C |= self.C_AF

    def _alarm_passed(self, before: int, now: int) -> bool:
        """Tell whether the time was that of the alarm in a second after ``before``, up to now."""
        seconds = self._matching(0, map(self._encode, range(60)))
        minutes = self._matching(1, map(self._encode, range(60)))
        hours = self._matching(2, map(self._encode_hour, range(24)))
        return any(
            time % 60 in seconds and time // 60 % 60 in minutes and time // 3600 % 24 in hours
            for time in range(max(before + 1, now + 1 - DAY), now + 1)
        )

    def _matching(self, alarm: int, encoded: Iterable[int]) -> set[int]:
        """Return the numbers that an alarm byte means, of those from 0 with these encodings."""
        wanted = self._alarms[alarm]
        return {n for n, byte in enumerate(encoded) if wanted & ANY == ANY or byte == wanted}

    def _shift(self) -> int:
        """Return how often the crystal's frequency is halved for the periodic flag, plus 1; or 0.

        The two fastest rates are those of 8 and 9 again.
        """
        rate = self.A_RS.of(self.A)
        return rate + 7 if 0 < rate <= 2 else rate

    def _periods(self) -> int:
        """Return how many periods have passed since the clock's beginning."""
        shift = self._shift()
        return self._clock.now() * CRYSTAL_HZ // (SECOND_NS << shift - 1) if shift else 0

    def _set_alarm(self) -> None:
        """Wake up for the next flag that would interrupt and is not raised yet."""
        now = self._clock.now()
        due = []
        missing = self.B & ~self.C
        shift = self._shift()
        if missing & self.B_PIE and shift:
            due.append(-(-(self._period + 1) * (SECOND_NS << shift - 1) // CRYSTAL_HZ))
        if missing & (self.B_AIE | self.B_UIE) and not self.B & self.B_SET:
            due.append(now + SECOND_NS - self._wall_clock() % SECOND_NS)
        if due:
            self._alarm.arm(min(due))
        else:
            self._alarm.cancel()
