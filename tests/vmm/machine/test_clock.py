"""Guest time and alarms."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from vmm.machine.clock import MachineClock

MS = 1_000_000


@pytest.fixture
def lock() -> threading.RLock:  # type: ignore[valid-type]
    return threading.RLock()


@pytest.fixture
def clock(lock: threading.Lock) -> Iterator[MachineClock]:
    clock = MachineClock(lock)
    yield clock
    clock.close()


def test_time_starts_near_zero_and_never_goes_back(clock: MachineClock) -> None:
    readings = [clock.now() for _ in range(1000)]
    assert 0 <= readings[0] < 1_000 * MS
    assert readings == sorted(readings)


def test_alarms_fire_in_order_and_never_early(clock: MachineClock) -> None:
    fired: list[tuple[str, int]] = []
    done = threading.Event()
    late = clock.timer(lambda: (fired.append(("late", clock.now())), done.set()))
    early = clock.timer(lambda: fired.append(("early", clock.now())))
    start = clock.now()
    late.arm(start + 40 * MS)
    early.arm(start + 10 * MS)
    assert done.wait(5)
    assert [name for name, _ in fired] == ["early", "late"]
    assert fired[0][1] >= start + 10 * MS
    assert fired[1][1] >= start + 40 * MS


def test_cancelled_and_rearmed_alarms(clock: MachineClock) -> None:
    fired: list[int] = []
    done = threading.Event()
    cancelled = clock.timer(lambda: fired.append(1))
    moved = clock.timer(lambda: (fired.append(2), done.set()))
    cancelled.arm(clock.now() + 5 * MS)
    cancelled.cancel()
    moved.arm(clock.now() + 3600_000 * MS)
    moved.arm(clock.now() + 30 * MS)
    assert done.wait(5)
    assert fired == [2]


def test_callback_holds_the_bus_lock(lock: threading.Lock, clock: MachineClock) -> None:
    fired = threading.Event()
    alarm = clock.timer(fired.set)
    with lock:
        alarm.arm(0)
        assert not fired.wait(0.05)
        alarm.cancel()
    assert not fired.wait(0.05), "an alarm cancelled under the lock fired"
    alarm.arm(0)
    assert fired.wait(5)


def test_alarm_can_rearm_itself(clock: MachineClock) -> None:
    ticks: list[int] = []
    done = threading.Event()

    def tick() -> None:
        ticks.append(clock.now())
        if len(ticks) == 5:
            done.set()
        else:
            alarm.arm(clock.now() + MS)

    alarm = clock.timer(tick)
    alarm.arm(0)
    assert done.wait(5)
    assert len(ticks) == 5


def test_deadlines_beyond_any_wait_are_accepted(clock: MachineClock) -> None:
    fired = threading.Event()
    clock.timer(lambda: None).arm((1 << 63) - 1)
    clock.timer(fired.set).arm(clock.now() + MS)
    assert fired.wait(5)


def test_moving_an_alarm_for_ever_takes_no_memory(clock: MachineClock) -> None:
    far = clock.now() + 3600_000 * MS
    alarm = clock.timer(lambda: None)
    tracemalloc.start()
    try:
        for step in range(1000):
            alarm.arm(far + step)
        before, _ = tracemalloc.get_traced_memory()
        for step in range(100_000):
            alarm.arm(far + step)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000


def test_closed_clock_fires_nothing(lock: threading.Lock) -> None:
    clock = MachineClock(lock)
    fired = threading.Event()
    clock.timer(fired.set).arm(clock.now() + 20 * MS)
    clock.close()
    assert not fired.wait(0.06)
