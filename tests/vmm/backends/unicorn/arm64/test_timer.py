"""The generic timer's comparator, against the Arm ARM's conditions at every moment."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vmm.backends.unicorn.arm64.timer import COUNTER_HZ, TICK_NS, GenericTimer

U64 = (1 << 64) - 1


class FakeClock:
    """A clock that the test moves; alarms fire as it passes them."""

    def __init__(self) -> None:
        self.time = 0
        self.alarms: list[FakeAlarm] = []

    def now(self) -> int:
        return self.time

    def timer(self, callback: Callable[[], None]) -> FakeAlarm:
        self.alarms.append(FakeAlarm(callback))
        return self.alarms[-1]

    def advance(self, nanoseconds: int) -> None:
        self.time += nanoseconds
        for alarm in self.alarms:
            if alarm.deadline is not None and alarm.deadline <= self.time:
                alarm.deadline = None
                alarm.callback()


class FakeAlarm:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.deadline: int | None = None

    def arm(self, deadline: int) -> None:
        self.deadline = deadline

    def cancel(self) -> None:
        self.deadline = None


class TimerMachine(RuleBasedStateMachine):
    """Any use of the registers: output and status are what counter and registers say."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.timer = GenericTimer(self.clock, lambda: self.clock.time // TICK_NS)
        self.level = False
        self.timer.connect(self.drive)
        self.control = 0
        self.compare = 0

    def drive(self, level: bool) -> None:
        assert level != self.level
        self.level = level

    @property
    def count(self) -> int:
        return self.clock.time // TICK_NS

    @rule(value=st.integers(0, U64))
    def write_control(self, value: int) -> None:
        self.timer.write_control(value)
        self.control = value & 3

    @rule(value=st.one_of(st.integers(0, 200), st.integers(0, U64)))
    def write_compare(self, value: int) -> None:
        self.timer.write_compare(value)
        self.compare = value

    @rule(value=st.one_of(st.integers(0, 100), st.integers(0, U64)))
    def write_value(self, value: int) -> None:
        self.timer.write_value(value)
        signed = value & 0xFFFF_FFFF
        if signed >= 1 << 31:
            signed -= 1 << 32
        self.compare = (self.count + signed) & U64

    @rule(nanoseconds=st.integers(0, 50 * TICK_NS))
    def advance(self, nanoseconds: int) -> None:
        self.clock.advance(nanoseconds)

    @invariant()
    def registers_and_output(self) -> None:
        met = bool(self.control & 1) and self.count >= self.compare
        assert self.timer.read_control() == self.control | (4 if met else 0)
        assert self.timer.read_compare() == self.compare
        assert self.timer.read_value() == (self.compare - self.count) & 0xFFFF_FFFF
        assert self.level == (met and not self.control & 2)

    @invariant()
    def no_alarm_without_need(self) -> None:
        if self.control != 1 or self.level:
            assert all(alarm.deadline is None for alarm in self.clock.alarms)


TestTimer = TimerMachine.TestCase


@given(st.integers(1, 10_000))
def test_an_alarm_that_comes_early_is_set_again(ticks: int) -> None:
    clock = FakeClock()
    levels: list[bool] = []
    timer = GenericTimer(clock, lambda: clock.time // TICK_NS)
    timer.connect(levels.append)
    timer.write_value(ticks)
    timer.write_control(1)
    clock.alarms[0].callback()
    assert levels == []
    clock.advance(ticks * TICK_NS)
    assert levels == [True]


def test_a_line_connected_late_gets_the_level() -> None:
    clock = FakeClock()
    timer = GenericTimer(clock, lambda: 0)
    timer.write_control(1)
    levels: list[bool] = []
    timer.connect(levels.append)
    assert levels == [True]


def test_ticks_divide_seconds() -> None:
    assert TICK_NS * COUNTER_HZ == 1_000_000_000
