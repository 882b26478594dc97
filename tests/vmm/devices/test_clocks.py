"""The clocks that know the time of day: MC146818 and PL031."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.parts import ManualClock, Wire
from vmm.devices.civil import date_from_days, days_from_date
from vmm.devices.pl031 import Pl031
from vmm.devices.rtc_cmos import RtcCmos

SECOND = 1_000_000_000
START = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)

A, B, C, D = 0x0A, 0x0B, 0x0C, 0x0D
SET, PIE, AIE, UIE, BINARY, HOURS_24 = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
PF, AF, UF, IRQF = 0x40, 0x20, 0x10, 0x80


@given(st.dates())
def test_dates_agree_with_the_library(day: date) -> None:
    days = (day - date(1970, 1, 1)).days
    assert days_from_date(day.year, day.month, day.day) == days
    assert date_from_days(days) == (day.year, day.month, day.day)


class Clocked:
    """A wall clock and a monotonic one that agree."""

    def __init__(self, start: datetime = START) -> None:
        self.irq = Wire()
        self.clock = ManualClock()
        self.start = round(start.timestamp()) * SECOND

    def wall_clock(self) -> int:
        return self.start + self.clock.time


class Cmos(Clocked):
    def __init__(self, start: datetime = START) -> None:
        super().__init__(start)
        self.rtc = RtcCmos(
            irq=self.irq, clock=self.clock, wall_clock=self.wall_clock, contents={0x15: 0x80}
        )

    def read(self, index: int) -> int:
        self.rtc.write(0, 1, index)
        return self.rtc.read(1, 1)

    def write(self, index: int, value: int) -> None:
        self.rtc.write(0, 1, index)
        self.rtc.write(1, 1, value)

    def time(self) -> list[int]:
        return [self.read(index) for index in (0x32, 9, 8, 7, 6, 4, 2, 0)]


@pytest.fixture
def cmos() -> Cmos:
    return Cmos()


def test_the_time_of_day_in_decimal_and_binary(cmos: Cmos) -> None:
    assert cmos.time() == [0x20, 0x24, 0x02, 0x29, 5, 0x23, 0x59, 0x58]
    cmos.write(B, BINARY | HOURS_24)
    assert cmos.time() == [20, 24, 2, 29, 5, 23, 59, 58]


def test_time_goes_on(cmos: Cmos) -> None:
    cmos.clock.advance(3 * SECOND)
    assert cmos.time() == [0x20, 0x24, 0x03, 0x01, 6, 0x00, 0x00, 0x01]


@pytest.mark.parametrize(
    ("hour", "shown"), [(0, 0x12), (1, 0x01), (11, 0x11), (12, 0x92), (13, 0x81), (23, 0x91)]
)
def test_twelve_hours(hour: int, shown: int) -> None:
    cmos = Cmos(START.replace(hour=hour))
    cmos.write(B, 0)
    assert cmos.read(4) == shown
    cmos.write(4, shown)
    cmos.write(B, HOURS_24 | BINARY)
    assert cmos.read(4) == hour


def test_an_update_is_announced(cmos: Cmos) -> None:
    cmos.write(A, 0xA6)
    cmos.clock.advance(SECOND - 244_001)
    assert cmos.read(A) == 0x26
    cmos.clock.advance(1)
    assert (cmos.read(A), cmos.read(0)) == (0xA6, 0x58)
    cmos.write(B, SET | HOURS_24)
    assert cmos.read(A) == 0x26, "no update while the time stands still"
    cmos.write(B, HOURS_24)
    cmos.clock.advance(244_000)
    assert (cmos.read(A), cmos.read(0)) == (0x26, 0x59)


def test_time_and_memory_are_valid(cmos: Cmos) -> None:
    cmos.write(D, 0)
    assert cmos.read(D) == 0x80


def test_memory_keeps_what_is_written(cmos: Cmos) -> None:
    for index in (0x0E, 0x31, 0x33, 0x7F):
        cmos.write(index, index ^ 0x5A)
        assert cmos.read(index) == index ^ 0x5A
    assert cmos.read(0x15) == 0x80


def test_a_trace_names_the_byte_behind_the_data_port(cmos: Cmos) -> None:
    cmos.rtc.write(0, 1, B)
    name, fields = cmos.rtc.decode(1, UIE, True)
    assert (name, fields["UIE"], fields["PIE"]) == ("B", 1, 0)


def test_the_top_bit_of_the_index_is_none_of_it(cmos: Cmos) -> None:
    cmos.write(0x80 | 0x40, 0x77)
    assert cmos.read(0x40) == 0x77


def test_setting_the_time_while_it_stands_still(cmos: Cmos) -> None:
    cmos.write(B, SET | HOURS_24)
    cmos.clock.advance(5 * SECOND)
    assert cmos.read(0) == 0x58
    for index, value in ((0x32, 0x19), (9, 0x99), (8, 0x12), (7, 0x31), (4, 0x23), (2, 0x59)):
        cmos.write(index, value)
    cmos.write(0, 0x59)
    cmos.write(B, HOURS_24)
    assert cmos.time() == [0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59]
    cmos.clock.advance(SECOND)
    assert cmos.time() == [0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00]


def test_setting_the_time_while_it_goes(cmos: Cmos) -> None:
    cmos.write(2, 0x30)
    cmos.clock.advance(SECOND)
    assert (cmos.read(2), cmos.read(0)) == (0x30, 0x59)


def test_the_time_can_be_set_in_any_order() -> None:
    cmos = Cmos(datetime(2024, 1, 31, tzinfo=UTC))
    cmos.write(B, SET | HOURS_24)
    for index, value in ((8, 0x02), (7, 0x15)):
        cmos.write(index, value)
        assert cmos.read(index) == value
    cmos.write(B, HOURS_24)
    assert cmos.time()[2:4] == [0x02, 0x15], "the 31st of February must not become March between"


def test_the_time_stands_as_bytes_for_the_mode_that_it_goes_on_in(cmos: Cmos) -> None:
    cmos.write(B, SET | HOURS_24)
    cmos.write(2, 0x33)
    cmos.write(0, 0x00)
    cmos.write(B, SET | BINARY | HOURS_24)
    assert cmos.read(2) == 0x33
    cmos.write(B, BINARY | HOURS_24)
    assert cmos.read(2) == 0x33
    cmos.write(B, HOURS_24)
    assert cmos.read(2) == 0x51


def test_the_update_interrupt(cmos: Cmos) -> None:
    cmos.clock.advance(SECOND // 4)
    cmos.write(A, 0x20)
    cmos.write(B, UIE | HOURS_24)
    cmos.read(C)
    cmos.clock.advance(3 * SECOND // 4 - 1)
    assert not cmos.irq.level
    cmos.clock.advance(1)
    assert cmos.irq.level
    assert cmos.read(C) == IRQF | UF
    assert (cmos.irq.level, cmos.read(C)) == (False, 0)
    cmos.clock.advance(SECOND)
    assert cmos.irq.level


@pytest.mark.parametrize(("rate", "hertz"), [(1, 256), (2, 128), (3, 8192), (6, 1024), (15, 2)])
def test_the_periodic_interrupt(rate: int, hertz: int) -> None:
    cmos = Cmos(START.replace(hour=5))
    cmos.write(A, 0x20 | rate)
    cmos.write(B, PIE | HOURS_24)
    count = 0
    step = SECOND // (2 * hertz)
    while cmos.clock.time < SECOND:
        cmos.clock.advance(min(step, SECOND - cmos.clock.time))
        if cmos.irq.level:
            assert cmos.read(C) & ~UF == IRQF | PF
            count += 1
    assert count == hertz, "however late it is served, it does not lag behind"


def test_the_alarm_interrupt(cmos: Cmos) -> None:
    cmos.write(A, 0x20)
    for index, value in ((5, 0x00), (3, 0xFF), (1, 0x05)):
        cmos.write(index, value)
        assert cmos.read(index) == value
    cmos.write(B, AIE | HOURS_24)
    cmos.clock.advance(6 * SECOND)
    assert not cmos.irq.level
    cmos.clock.advance(SECOND)
    assert cmos.read(C) == IRQF | AF | UF
    cmos.clock.advance(60 * SECOND)
    assert cmos.irq.level


def test_flags_are_raised_without_interrupts(cmos: Cmos) -> None:
    for index, value in ((5, 0xFF), (3, 0x10), (1, 0x05)):
        cmos.write(index, value)
    cmos.write(A, 0x2F)
    cmos.read(C)
    cmos.clock.advance(SECOND // 2 - 1)
    assert cmos.read(C) == 0
    cmos.clock.advance(1)
    assert cmos.read(C) == PF
    cmos.clock.advance(SECOND // 2)
    assert cmos.read(C) == PF | UF
    cmos.clock.advance(11 * 60 * SECOND)
    assert cmos.read(C) == PF | UF | AF
    cmos.clock.advance(40 * 60 * SECOND)
    assert cmos.read(C) == PF | UF
    assert not cmos.irq.rises


def test_a_flag_that_is_up_interrupts_when_that_is_enabled(cmos: Cmos) -> None:
    cmos.write(A, 0x20)
    cmos.read(C)
    cmos.clock.advance(SECOND)
    cmos.write(B, UIE | HOURS_24)
    assert cmos.irq.level
    cmos.write(B, HOURS_24)
    assert not cmos.irq.level
    assert cmos.read(C) == UF


def test_an_alarm_that_passes_while_the_machine_is_away_is_not_lost(cmos: Cmos) -> None:
    for index, value in ((5, 0x00), (3, 0x10), (1, 0x00)):
        cmos.write(index, value)
    cmos.write(B, AIE | HOURS_24)
    later = Cmos(START + timedelta(hours=3))
    later.rtc.load(cmos.rtc.save())
    later.clock.advance(SECOND)
    assert later.irq.level
    assert later.read(C) & AF


def test_disabling_stops_interrupts(cmos: Cmos) -> None:
    cmos.write(B, PIE | UIE | HOURS_24)
    cmos.write(B, HOURS_24)
    cmos.clock.advance(10 * SECOND)
    assert not cmos.irq.level


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from((1, 2, 4)), st.integers(0, 2**32 - 1)),
        max_size=50,
    )
)
def test_no_sequence_of_accesses_breaks_the_rtc(steps: list[tuple[int, int, int]]) -> None:
    cmos = Cmos()
    for offset, size, value in steps:
        cmos.rtc.write(offset, size, value & ((1 << 8 * size) - 1))
        cmos.clock.advance(value % SECOND)
        assert 0 <= cmos.rtc.read(offset, size) < 1 << 8 * size
    for index in range(128):
        assert 0 <= cmos.read(index) <= 0xFF


# ---- PL031 ----

DR, MR, LR, CR, IMSC, RIS, MIS, ICR = range(0, 0x20, 4)


class Rtc(Clocked):
    def __init__(self) -> None:
        super().__init__()
        self.rtc = Pl031(irq=self.irq, clock=self.clock, wall_clock=self.wall_clock)

    def read(self, offset: int) -> int:
        return self.rtc.read(offset, 4)

    def write(self, offset: int, value: int) -> None:
        self.rtc.write(offset, 4, value)


@pytest.fixture
def rtc() -> Rtc:
    return Rtc()


def test_it_shows_the_seconds_since_1970(rtc: Rtc) -> None:
    assert rtc.read(DR) == round(START.timestamp())
    rtc.clock.advance(5 * SECOND)
    assert rtc.read(DR) == round((START + timedelta(seconds=5)).timestamp())


def test_identification(rtc: Rtc) -> None:
    identity = bytes(rtc.read(offset) for offset in range(0xFE0, 0x1000, 4))
    assert identity.hex() == "311014000df005b1"


def test_it_can_be_set_and_not_stopped(rtc: Rtc) -> None:
    rtc.write(LR, 1000)
    rtc.write(CR, 0)
    rtc.clock.advance(2 * SECOND)
    assert (rtc.read(DR), rtc.read(LR), rtc.read(CR)) == (1002, 1000, 1)


def test_a_match_interrupts_until_cleared(rtc: Rtc) -> None:
    rtc.write(LR, 1000)
    rtc.write(MR, 1003)
    rtc.write(IMSC, 1)
    rtc.clock.advance(3 * SECOND - 1)
    assert not rtc.irq.level
    rtc.clock.advance(1)
    assert (rtc.irq.level, rtc.read(RIS), rtc.read(MIS)) == (True, 1, 1)
    rtc.write(ICR, 1)
    assert (rtc.irq.level, rtc.read(RIS)) == (False, 0)


def test_a_masked_match_does_not_interrupt(rtc: Rtc) -> None:
    rtc.write(MR, rtc.read(DR) + 1)
    rtc.clock.advance(SECOND)
    assert (rtc.irq.level, rtc.read(RIS), rtc.read(MIS)) == (False, 1, 0)
    rtc.write(IMSC, 1)
    assert rtc.irq.level


def test_setting_the_time_back_lets_it_match_again(rtc: Rtc) -> None:
    rtc.write(IMSC, 1)
    rtc.write(LR, 10)
    rtc.write(MR, 11)
    for _ in range(2):
        rtc.clock.advance(SECOND)
        assert rtc.irq.level
        rtc.write(ICR, 1)
        rtc.write(LR, 10)


def test_the_seconds_wrap_around(rtc: Rtc) -> None:
    rtc.write(LR, 0xFFFF_FFFF)
    rtc.clock.advance(SECOND)
    assert rtc.read(DR) == 0
    rtc.write(IMSC, 1)
    rtc.write(LR, 0xFFFF_FFFE)
    rtc.write(MR, 1)
    rtc.clock.advance(3 * SECOND)
    assert rtc.irq.level


def test_a_match_that_passes_while_the_machine_is_away_is_not_lost(rtc: Rtc) -> None:
    rtc.write(MR, rtc.read(DR) + 10)
    rtc.write(IMSC, 1)
    later = Rtc()
    later.start += 3600 * SECOND
    later.rtc.load(rtc.rtc.save())
    later.clock.advance(0)
    assert later.irq.level
    later.write(ICR, 1)
    later.rtc.load(later.rtc.save())
    later.clock.advance(3600 * SECOND)
    assert not later.irq.level
