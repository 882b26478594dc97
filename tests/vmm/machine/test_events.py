"""The loop that tells devices of the host's descriptors."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmm.machine import events
from vmm.machine.events import EventLoop


@pytest.fixture
def lock() -> threading.RLock:
    return threading.RLock()


@pytest.fixture
def loop(lock: threading.RLock) -> Iterator[EventLoop]:
    loop = EventLoop(lock)
    yield loop
    loop.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


class Bell:
    """Counts calls, and lets a test wait for one."""

    def __init__(self) -> None:
        self.rung = threading.Semaphore(0)

    def __call__(self) -> None:
        self.rung.release()

    def wait(self, seconds: float = 10) -> bool:
        return self.rung.acquire(timeout=seconds)


Pair = tuple[socket.socket, socket.socket]


def test_it_calls_once_for_each_time_it_is_armed(
    loop: EventLoop, pair: Pair, lock: threading.RLock
) -> None:
    bell = Bell()
    with lock:
        watch = loop.watch(pair[0].fileno(), bell)
    pair[1].send(b"x")
    assert not bell.wait(0.05)
    for _ in range(2):
        with lock:
            watch.arm(read=True)
        assert bell.wait()
        assert not bell.wait(0.05)


def test_it_tells_of_room_to_write(loop: EventLoop, pair: Pair, lock: threading.RLock) -> None:
    bell = Bell()
    with lock:
        watch = loop.watch(pair[0].fileno(), bell)
        watch.arm(write=True)
    assert bell.wait()


def test_it_tells_of_the_other_ends_end(loop: EventLoop, pair: Pair, lock: threading.RLock) -> None:
    bell = Bell()
    with lock:
        loop.watch(pair[0].fileno(), bell).arm(read=True)
    pair[1].close()
    assert bell.wait()


def test_the_lock_is_held(loop: EventLoop, pair: Pair, lock: threading.RLock) -> None:
    bell = Bell()
    with lock:
        loop.watch(pair[0].fileno(), bell).arm(read=True)
        pair[1].send(b"x")
        assert not bell.wait(0.1)
    assert bell.wait()


def test_sleeps_of_its_thread_end_on_time(
    loop: EventLoop, pair: Pair, lock: threading.RLock
) -> None:
    called = threading.Event()
    slack = []

    def look() -> None:
        slack.append(Path(f"/proc/{threading.get_native_id()}/timerslack_ns").read_text())
        called.set()

    with lock:
        loop.watch(pair[0].fileno(), look).arm(read=True)
    pair[1].send(b"x")
    assert called.wait(10)
    assert slack == ["1\n"]


def test_nothing_is_called_after_close(pair: Pair, lock: threading.RLock) -> None:
    bell = Bell()
    loop = EventLoop(lock)
    with lock:
        watch = loop.watch(pair[0].fileno(), bell)
        watch.arm(read=True)
    loop.close()
    pair[1].send(b"x")
    assert not bell.wait(0.05)
    loop.close()
    watch.close()


def test_a_closed_watch_is_silent(loop: EventLoop, pair: Pair, lock: threading.RLock) -> None:
    bell = Bell()
    with lock:
        watch = loop.watch(pair[0].fileno(), bell)
        watch.arm(read=True)
        pair[1].send(b"x")
        watch.close()
        watch.close()
    assert not bell.wait(0.05)


def test_an_unused_loop_has_no_thread(lock: threading.RLock) -> None:
    before = len(os.listdir("/proc/self/task"))
    loop = EventLoop(lock)
    assert len(os.listdir("/proc/self/task")) == before
    loop.close()


def test_close_ends_the_thread(pair: Pair, lock: threading.RLock) -> None:
    before = len(os.listdir("/proc/self/task"))
    loop = EventLoop(lock)
    with lock:
        loop.watch(pair[0].fileno(), Bell())
    loop.close()
    deadline = time.monotonic() + 5
    while len(os.listdir("/proc/self/task")) > before and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(os.listdir("/proc/self/task")) <= before


def test_a_sleep_is_ended_by_a_wake_whenever_that_comes(
    loop: EventLoop, pair: Pair, lock: threading.RLock
) -> None:
    with lock:
        loop.watch(pair[0].fileno(), Bell())
    loop.share()
    for round_ in range(200):
        over = threading.Event()

        def ring(over: threading.Event = over, delay: float = round_ * 1e-6) -> None:
            time.sleep(delay)
            over.set()
            loop.wake()

        ringer = threading.Thread(target=ring)
        ringer.start()
        while not over.is_set():
            loop.sleep(over.is_set)
        ringer.join()


def test_who_sleeps_serves_what_comes(loop: EventLoop, pair: Pair, lock: threading.RLock) -> None:
    """Or the loop's own thread does, which then has to wake it: as a device wakes its vCPU."""
    served = []

    def serve() -> None:
        pair[0].recv(1)
        served.append(threading.get_ident())
        loop.wake()

    with lock:
        watch = loop.watch(pair[0].fileno(), serve)
    loop.share()
    for count in range(1, 51):
        with lock:
            watch.arm(read=True)
        sender = threading.Timer(0.001, pair[1].send, (b"x",))
        sender.start()
        while len(served) < count:
            loop.sleep(lambda count=count: len(served) == count)  # type: ignore[misc]
        sender.join()
    assert threading.get_ident() in served


def test_no_sleep_outlives_the_loop(pair: Pair, lock: threading.RLock) -> None:
    loop = EventLoop(lock)
    with lock:
        loop.watch(pair[0].fileno(), Bell())
    loop.share()
    loop.close()
    loop.wake()


def test_what_comes_while_the_thread_rests_is_served_after_that(
    loop: EventLoop, pair: Pair, lock: threading.RLock
) -> None:
    loop.share()
    bell = Bell()
    with lock:
        watch = loop.watch(pair[0].fileno(), bell)
    for _ in range(100):
        with lock:
            watch.arm(write=True)
        assert bell.wait()


def test_what_waits_for_the_vcpu_is_done_without_the_lock(
    loop: EventLoop, pair: Pair, lock: threading.RLock
) -> None:
    """Such as a device's insisting on its interrupt, if the loop's own thread serves the device."""
    free = []

    def insist() -> None:
        def try_lock() -> None:
            free.append(lock.acquire(timeout=1))
            if free[-1]:
                lock.release()

        another = threading.Thread(target=try_lock)
        another.start()
        another.join()
        bell()

    bell = Bell()
    with lock:
        loop.watch(pair[0].fileno(), lambda: loop.insist(insist)).arm(write=True)
    assert bell.wait()
    assert free == [True]
    loop.insist(insist)
    assert bell.wait(0), "in another thread it is done at once"


def test_patience_makes_the_rest_longer(
    loop: EventLoop, pair: Pair, lock: threading.RLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    monkeypatch.setattr(events, "rest", rests.append)
    loop.share()
    bell = Bell()
    with lock:
        watch = loop.watch(pair[0].fileno(), bell)
    for watch.patient in (False, True):
        with lock:
            watch.arm(write=True)
        assert bell.wait()
    loop.close()
    assert len(rests) == 3, "the last turn is the end's"
    assert rests[0] < rests[1]
