"""One thread for the alarms of all machines."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref

import pytest

from vmm.machine.clock import MachineClock

MS = 1_000_000


def test_a_busy_machine_does_not_hold_up_the_alarms_of_another() -> None:
    busy_lock = threading.RLock()
    busy, other = MachineClock(busy_lock), MachineClock(threading.RLock())
    late, rung = threading.Event(), threading.Event()
    try:
        with busy_lock:
            busy.timer(late.set).arm(busy.now())
            time.sleep(0.02)
            other.timer(rung.set).arm(other.now() + 5 * MS)
            assert rung.wait(5)
            assert not late.is_set()
        assert late.wait(5)
    finally:
        busy.close()
        other.close()


def test_machines_share_the_thread() -> None:
    clocks = [MachineClock(threading.RLock()) for _ in range(20)]
    rung: list[int] = []
    done = threading.Event()
    for clock in clocks:
        clock.timer(lambda: rung.append(threading.get_ident())).arm(clock.now() + MS)
    clocks[0].timer(done.set).arm(clocks[0].now() + 30 * MS)
    assert done.wait(5)
    assert len(rung) == 20
    assert len(set(rung)) == 1
    assert rung[0] != threading.get_ident()


def test_an_earlier_alarm_overtakes_a_later_one() -> None:
    clock = MachineClock(threading.RLock())
    clock.timer(lambda: None).arm(clock.now() + 3600_000 * MS)
    time.sleep(0.02)  # the thread sleeps now, for an hour
    rung = threading.Event()
    clock.timer(rung.set).arm(clock.now() + 5 * MS)
    assert rung.wait(5)
    clock.close()


def test_a_cancelled_alarm_keeps_nothing_alive() -> None:
    class Owner:
        def ring(self) -> None: ...

    clock, owner = MachineClock(threading.RLock()), Owner()
    alive = weakref.ref(owner)
    alarm = clock.timer(owner.ring)
    alarm.arm(clock.now() + 3600_000 * MS)
    alarm.cancel()
    del owner, clock, alarm
    gc.collect()
    assert alive() is None


def test_a_callback_that_fails_stops_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    clock, rung = MachineClock(threading.RLock()), threading.Event()
    empty: list[int] = []
    clock.timer(empty.pop).arm(0)
    clock.timer(rung.set).arm(clock.now() + 5 * MS)
    assert rung.wait(5)
    assert "IndexError: pop from empty list" in capsys.readouterr().err


def test_alarms_ring_in_a_child_process() -> None:
    warm, rung = MachineClock(threading.RLock()), threading.Event()
    warm.timer(rung.set).arm(0)
    assert rung.wait(5)
    child = os.fork()
    if child == 0:
        clock, rung = MachineClock(threading.RLock()), threading.Event()
        clock.timer(rung.set).arm(MS)
        os._exit(0 if rung.wait(5) else 1)
    assert os.waitpid(child, 0)[1] == 0
