"""The doorbell: no request is lost, and nobody waits for one who is in Python."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vmm.backends.unicorn.doorbell import Doorbell


class Engine:
    """Native code that is in no hurry: the first stops are lost."""

    def __init__(self, lost: int) -> None:
        self.left = threading.Event()
        self.lost = lost
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1
        if self.stops > self.lost:
            self.left.set()


def test_stops_are_repeated_until_native_code_is_left() -> None:
    engine = Engine(lost=5)
    bell = Doorbell(engine.stop)

    def run() -> None:
        bell.native = True
        engine.left.wait()
        bell.native = False

    runner = threading.Thread(target=run)
    runner.start()
    while not bell.native:
        pass
    bell.ring()
    assert not bell.native
    assert engine.stops > 5
    runner.join()


def test_ringing_does_not_wait_for_python() -> None:
    engine = Engine(lost=0)
    bell = Doorbell(engine.stop)
    bell.ring()
    assert bell.rung
    assert engine.stops == 0


def test_ringing_ends_a_sleep() -> None:
    bell = Doorbell(lambda: None)
    timer = threading.Timer(0.02, bell.ring)
    timer.start()
    bell.wait()
    assert bell.rung
    timer.join()


def test_a_bell_that_has_rung_does_not_let_sleep() -> None:
    bell = Doorbell(lambda: None)
    bell.ring()
    bell.wait()


def test_the_sleep_may_be_somebody_elses() -> None:
    class Sleep:
        def __init__(self) -> None:
            self.woken = threading.Event()

        def sleep(self, over: Callable[[], bool]) -> None:
            assert not over()
            self.woken.wait(10)
            assert over()

        def wake(self) -> None:
            self.woken.set()

        def insist(self, act: Callable[[], None]) -> None:
            act()

    bell = Doorbell(lambda: None)
    bell.sleep = sleep = Sleep()
    bell.ring()
    assert not sleep.woken.is_set(), "it was awake"
    bell.rung = False
    timer = threading.Timer(0.02, bell.ring)
    timer.start()
    bell.wait()
    assert sleep.woken.is_set()
    timer.join()


def test_many_may_ring_at_once() -> None:
    bell = Doorbell(lambda: None)
    ringers = [threading.Thread(target=bell.ring) for _ in range(8)]
    sleeper = threading.Thread(target=bell.wait)
    sleeper.start()
    for ringer in ringers:
        ringer.start()
    for thread in (*ringers, sleeper):
        thread.join(5)
        assert not thread.is_alive()


def test_silence_waits_for_a_stop_under_way() -> None:
    entered, leave = threading.Event(), threading.Event()

    def stop() -> None:
        entered.set()
        leave.wait()

    bell = Doorbell(stop)
    bell.native = True
    ringer = threading.Thread(target=bell.ring)
    ringer.start()
    entered.wait()
    timer = threading.Timer(0.02, leave.set)
    timer.start()
    bell.silence()
    assert leave.is_set()
    for thread in (ringer, timer):
        thread.join(5)
        assert not thread.is_alive()
