"""The 8254: one behaviour a test, with a clock that stands still."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vmm.devices.i8254_chip import Chip
from tests.vmm.devices.parts import ManualClock, Wire
from vmm.devices.i8254 import HZ, I8254, MIN_PERIOD_NS

CONTROL = 3
LOW, HIGH, BOTH = 1, 2, 3
SECOND = 1_000_000_000


class Timer:
    """An 8254 and what is on its pins."""

    def __init__(self) -> None:
        self.irq = Wire()
        self.clock = ManualClock()
        self.pit = I8254(irq=self.irq, clock=self.clock)

    def program(self, channel: int, mode: int, count: int, *, bcd: bool = False) -> None:
        self.pit.write(CONTROL, 1, channel << 6 | BOTH << 4 | mode << 1 | bcd)
        self.pit.write(channel, 1, count & 0xFF)
        self.pit.write(channel, 1, count >> 8)

    def count(self, channel: int) -> int:
        self.pit.write(CONTROL, 1, channel << 6)
        low = self.pit.read(channel, 1)
        return self.pit.read(channel, 1) << 8 | low

    def status(self, channel: int) -> int:
        self.pit.write(CONTROL, 1, 0xE0 | 2 << channel)
        return self.pit.read(channel, 1)

    def tick(self, ticks: int) -> None:
        """Let exactly this many more ticks pass, and a little of the next."""
        ticks += self.clock.time * HZ // SECOND
        self.clock.advance(-(-ticks * SECOND // HZ) + 1 - self.clock.time)

    def gate2(self, level: bool) -> None:
        self.pit.port_61.write(0, 1, int(level))

    @property
    def out2(self) -> bool:
        return bool(self.pit.port_61.read(0, 1) & 0x20)


@pytest.fixture
def timer() -> Timer:
    return Timer()


def test_mode_0_rises_once_at_its_end(timer: Timer) -> None:
    timer.program(0, 0, 1000)
    timer.tick(999)
    assert (timer.irq.level, timer.count(0)) == (False, 1)
    timer.tick(1)
    assert (timer.irq.level, timer.count(0)) == (True, 0)
    timer.tick(1)
    assert timer.count(0) == 0xFFFF, "it counts on"
    timer.clock.advance(10 * SECOND)
    assert timer.irq.rises == 1


def test_a_new_count_in_mode_0_lowers_the_output(timer: Timer) -> None:
    timer.program(0, 0, 10)
    timer.tick(10)
    timer.pit.write(0, 1, 100)
    timer.pit.write(0, 1, 0)
    assert not timer.irq.level
    timer.tick(100)
    assert timer.irq.level


def test_mode_2_interrupts_each_period(timer: Timer) -> None:
    timer.program(0, 2, 11932)
    rises = timer.irq.rises
    timer.clock.advance(SECOND + SECOND // 1000)
    assert timer.irq.rises - rises == 100


@pytest.mark.parametrize(("mode", "rises"), [(2, (1000, 1200, 1400)), (3, (600, 800, 1000))])
def test_a_new_count_waits_for_the_next_period(mode: int, rises: tuple[int, ...]) -> None:
    timer = Timer()
    timer.program(0, mode, 1000)
    timer.tick(400)
    timer.pit.write(0, 1, 200)
    timer.pit.write(0, 1, 0)
    seen = []
    for tick in range(401, 1500):
        before = timer.irq.rises
        timer.tick(1)
        if timer.irq.rises > before:
            seen.append(tick)
    assert tuple(seen[:3]) == rises, "of a square wave, a half is enough"


def test_mode_2_counts_down_to_1_and_is_low_there(timer: Timer) -> None:
    timer.gate2(True)
    timer.program(2, 2, 5)
    seen = []
    for _ in range(7):
        seen.append((timer.count(2), timer.out2))
        timer.tick(1)
    assert seen == [(5, True), (4, True), (3, True), (2, True), (1, False), (5, True), (4, True)]


@pytest.mark.parametrize(("count", "high"), [(6, 3), (7, 4)])
def test_mode_3_is_a_square_wave(count: int, high: int) -> None:
    timer = Timer()
    timer.gate2(True)
    timer.program(2, 3, count)
    levels = []
    for _ in range(2 * count):
        levels.append(timer.out2)
        timer.tick(1)
    assert levels == 2 * ([True] * high + [False] * (count - high))


def test_mode_3_counts_by_two(timer: Timer) -> None:
    timer.gate2(True)
    timer.program(2, 3, 6)
    counts = []
    for _ in range(4):
        counts.append(timer.count(2))
        timer.tick(1)
    assert counts == [6, 4, 2, 6]


def test_mode_1_is_triggered_by_the_gate(timer: Timer) -> None:
    timer.program(2, 1, 10)
    timer.tick(100)
    assert timer.out2
    timer.gate2(True)
    assert not timer.out2
    timer.tick(5)
    timer.gate2(False)
    timer.gate2(True)
    timer.tick(9)
    assert not timer.out2, "a trigger starts over"
    timer.tick(1)
    assert timer.out2


@pytest.mark.parametrize("mode", [4, 5])
def test_strobes_are_low_for_one_tick(mode: int) -> None:
    timer = Timer()
    timer.gate2(mode == 4)
    timer.program(2, mode, 3)
    timer.gate2(True)
    levels = []
    for _ in range(6):
        levels.append(timer.out2)
        timer.tick(1)
    assert levels == [True, True, True, False, True, True]


def test_mode_4_interrupts_behind_its_end(timer: Timer) -> None:
    timer.program(0, 4, 10)
    rises = timer.irq.rises
    timer.tick(10)
    assert timer.irq.rises == rises
    timer.tick(1)
    assert timer.irq.rises == rises + 1


def test_the_gate_pauses_mode_0(timer: Timer) -> None:
    timer.gate2(True)
    timer.program(2, 0, 100)
    timer.tick(40)
    timer.gate2(False)
    timer.tick(1000)
    assert timer.count(2) == 60
    timer.gate2(True)
    timer.tick(59)
    assert not timer.out2
    timer.tick(1)
    assert timer.out2


@pytest.mark.parametrize("mode", [2, 3])
def test_the_gate_stops_and_restarts_periods(mode: int) -> None:
    timer = Timer()
    timer.gate2(True)
    timer.program(2, mode, 100)
    timer.tick(60)
    timer.gate2(False)
    assert timer.out2
    timer.gate2(True)
    assert timer.count(2) == 100


@pytest.mark.parametrize("mode", [6, 7])
def test_modes_6_and_7_are_2_and_3(mode: int) -> None:
    timer = Timer()
    timer.program(0, mode, 1000)
    assert timer.status(0) >> 1 & 7 == mode
    rises = timer.irq.rises
    timer.tick(3000)
    assert timer.irq.rises == rises + 3


def test_a_count_of_0_is_the_largest(timer: Timer) -> None:
    timer.program(0, 0, 0)
    timer.tick(0xFFFF)
    assert not timer.irq.level
    timer.tick(1)
    assert timer.irq.level


def test_decimal_counting(timer: Timer) -> None:
    timer.program(0, 0, 0x1000, bcd=True)
    timer.tick(1)
    assert timer.count(0) == 0x0999
    timer.tick(999)
    assert timer.irq.level
    timer.tick(1)
    assert timer.count(0) == 0x9999


@pytest.mark.parametrize(("access", "byte", "expected"), [(LOW, 0x34, 0x34), (HIGH, 0x12, 0x1200)])
def test_single_byte_access(access: int, byte: int, expected: int) -> None:
    timer = Timer()
    timer.pit.write(CONTROL, 1, access << 4)
    timer.pit.write(0, 1, byte)
    timer.tick(expected - 1)
    assert not timer.irq.level
    timer.tick(1)
    assert timer.irq.level
    assert timer.pit.read(0, 1) == 0
    assert timer.pit.read(0, 1) == 0


def test_a_latched_count_stays_until_it_is_read(timer: Timer) -> None:
    timer.program(0, 2, 0x8000)
    timer.pit.write(CONTROL, 1, 0x00)
    timer.tick(100)
    timer.pit.write(CONTROL, 1, 0x00)
    assert (timer.pit.read(0, 1), timer.pit.read(0, 1)) == (0x00, 0x80)
    assert timer.count(0) == 0x8000 - 100


def test_read_back_latches_several_counters_at_once(timer: Timer) -> None:
    timer.gate2(True)
    timer.program(0, 2, 1000)
    timer.program(2, 2, 1000)
    timer.tick(1)
    timer.pit.write(CONTROL, 1, 0xC0 | 0x0A)
    timer.tick(100)
    statuses = [timer.pit.read(channel, 1) for channel in (0, 2)]
    assert statuses == [0x80 | BOTH << 4 | 2 << 1] * 2
    for channel in (0, 2):
        assert timer.pit.read(channel, 1) | timer.pit.read(channel, 1) << 8 == 999


def test_status_tells_that_no_count_was_loaded(timer: Timer) -> None:
    timer.pit.write(CONTROL, 1, BOTH << 4 | 2 << 1)
    assert timer.status(0) & 0x40
    timer.pit.write(0, 1, 100)
    assert timer.status(0) & 0x40
    timer.pit.write(0, 1, 0)
    assert not timer.status(0) & 0x40


def test_a_control_word_stops_the_counter(timer: Timer) -> None:
    timer.program(0, 2, 1000)
    timer.pit.write(CONTROL, 1, BOTH << 4)
    rises = timer.irq.rises
    timer.clock.advance(SECOND)
    assert timer.irq.rises == rises


def test_port_61_keeps_its_bits_and_toggles_refresh(timer: Timer) -> None:
    timer.pit.port_61.write(0, 1, 0xFF)
    assert timer.pit.port_61.read(0, 1) & 0x0F == 0x0F
    levels = set()
    for _ in range(4):
        levels.add(timer.pit.port_61.read(0, 1) & 0x10)
        timer.clock.advance(15_085)
    assert levels == {0, 0x10}


def test_interrupts_come_no_faster_than_the_limit_and_are_not_made_up_for(timer: Timer) -> None:
    timer.program(0, 2, 2)
    rises = timer.irq.rises
    timer.clock.advance(10 * MIN_PERIOD_NS)
    assert timer.irq.rises - rises <= 11
    rises = timer.irq.rises
    timer.clock.time += SECOND
    timer.clock.advance(0)
    assert timer.irq.rises - rises <= 1


def test_a_restored_timer_goes_on(timer: Timer) -> None:
    timer.gate2(True)
    timer.program(0, 2, 1000)
    timer.program(2, 0, 500)
    timer.tick(400)
    new = Timer()
    new.clock.time = timer.clock.time
    new.pit.load(timer.pit.save())
    assert (new.count(0), new.count(2)) == (600, 100)
    rises = new.irq.rises
    new.tick(600)
    assert (new.irq.rises, new.out2) == (rises + 1, True)


# What may happen to counter 2, with a number for it: a control word, whose mode it is (from 6 on,
# with decimal counting); a count, or its first byte; a change of the gate; pulses of the
# clock.
STEPS = st.one_of(
    st.tuples(st.just("control"), st.integers(0, 11)),
    st.tuples(st.sampled_from(("count", "first byte")), st.integers(2, 9)),
    st.tuples(st.just("gate"), st.integers(0, 1)),
    st.tuples(st.just("pulses"), st.integers(0, 7)),
)


@settings(max_examples=300)
@given(st.integers(0, 11), st.integers(2, 9), st.lists(STEPS, max_size=25))
def test_it_does_what_the_chip_does(control: int, count: int, steps: list[tuple[str, int]]) -> None:
    timer, chip = Timer(), Chip()
    decimal = half_written = False
    low = 0
    for step, number in [("gate", 1), ("control", control), ("count", count), *steps]:
        if step == "control":
            decimal, half_written = number >= 6, False
            timer.pit.write(CONTROL, 1, 0x80 | BOTH << 4 | number % 6 << 1 | decimal)
            chip.control(number % 6, bcd=decimal)
        elif step == "gate":
            timer.gate2(number == 1)
            chip.set_gate(number == 1)
        elif step == "pulses":
            for _ in range(number):
                timer.tick(1)
                chip.pulse()
        else:
            if not half_written:
                low = number
                timer.pit.write(2, 1, low)
                chip.write_first_byte()
            half_written = step == "first byte" and not half_written
            if not half_written:
                timer.pit.write(2, 1, 0)
                chip.write(low)
        assert timer.out2 == chip.out, (step, number)
        assert bool(timer.status(2) & 0x40) == chip.null, (step, number)
        if chip.begun:
            shown = timer.count(2)
            assert (int(f"{shown:x}") if decimal else shown) == chip.element, (step, number)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from((1, 2, 4)),
            st.integers(0, 2**32 - 1),
            st.integers(0, 10**7),
        ),
        max_size=50,
    )
)
def test_no_sequence_of_accesses_breaks_it(steps: list[tuple[int, int, int, int]]) -> None:
    timer = Timer()
    for offset, size, value, wait in steps:
        region = timer.pit.port_61 if offset == 4 else timer.pit
        region.write(offset & 3, size, value & ((1 << 8 * size) - 1))
        timer.clock.advance(wait)
        assert 0 <= region.read(offset & 3, size) < 1 << 8 * size
