"""Kicks that arrive on an eventfd are served by the event loop's thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from tests.vmm.devices.virtio.echo import Echo
from vmm.devices.virtio.mmio import VirtioMmio
from vmm.machine.events import EventLoop
from vmm.machine.kicks import Kicks

BASE = 0x0A00_0000
DEADLINE = 10


class Notifier:
    """A backend's eventfds, signalled by the test."""

    def __init__(self) -> None:
        self.fds: dict[int, int] = {}

    def ioeventfd(
        self, fd: int, address: int, size: int = 0, *, port: bool = False, value: int | None = None
    ) -> None:
        assert (address, size, port) == (BASE + VirtioMmio.QueueNotify.offset, 4, False)
        assert value is not None
        self.fds[value] = fd

    def kick(self, queue: int) -> None:
        os.eventfd_write(self.fds[queue], 1)


class Kicked:
    """A driver whose kicks go through a notifier."""

    def __init__(self) -> None:
        memory = d.ram()
        self.lock = threading.RLock()
        self.events = EventLoop(self.lock)
        self.device = Echo(memory)
        self.guest = Guest(self.device, memory)
        self.notifier = Notifier()
        notifier: Any = self.notifier
        self.kicks = Kicks(self.device, [0], self.events, notifier, BASE)

    def close(self) -> None:
        self.events.close()
        self.kicks.close()


@pytest.fixture
def kicked() -> Iterator[Kicked]:
    made = Kicked()
    yield made
    made.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def offer(guest: Guest, count: int) -> None:
    queue = guest.queues[0]
    for _ in range(count):
        place = queue.allocate(16, b"ping")
        queue.offer([(place, 4, False), (place + 8, 4, True)])


def test_one_kick_serves_all_that_is_there(kicked: Kicked) -> None:
    with kicked.lock:
        kicked.guest.start()
        offer(kicked.guest, 3)
    kicked.notifier.kick(0)
    wait_for(lambda: kicked.guest.queues[0].used_index == 3)
    wait_for(lambda: kicked.guest.irq.level)


def test_without_a_notifier_the_vcpu_signals() -> None:
    memory, lock = d.ram(), threading.RLock()
    device, events = Echo(memory), EventLoop(lock)
    guest = Guest(device, memory)
    kicks = Kicks(device, [0], events, None, BASE)
    try:
        with lock:
            guest.start()
            offer(guest, 2)
            guest.kick(0)
            assert guest.queues[0].used_index == 0, "it was served by who kicked"
        wait_for(lambda: guest.queues[0].used_index == 2)
    finally:
        events.close()
        kicks.close()


def test_kicks_before_the_driver_is_ready_are_harmless(kicked: Kicked) -> None:
    kicked.notifier.kick(0)
    with kicked.lock:
        kicked.guest.start()
        offer(kicked.guest, 1)
    kicked.notifier.kick(0)
    wait_for(lambda: kicked.guest.queues[0].used_index == 1)


def test_a_driver_that_never_stops_leaves_the_bus_to_others(kicked: Kicked) -> None:
    """Each chain that is given back is offered again at once: there is always one more."""
    with kicked.lock:
        kicked.guest.start()
        offer(kicked.guest, 2)
        queue = kicked.device.queues[0]
        push = queue.push

        def push_and_offer(chain: object, written: int) -> None:
            push(chain, written)  # type: ignore[arg-type]
            kicked.guest.queues[0].publish(chain.head)  # type: ignore[attr-defined]

        queue.push = push_and_offer  # type: ignore[method-assign]
    kicked.notifier.kick(0)
    for _ in range(3):
        before = kicked.guest.queues[0].used_index
        wait_for(lambda before=before: kicked.guest.queues[0].used_index != before)  # type: ignore[misc]
        assert kicked.lock.acquire(timeout=DEADLINE)
        kicked.lock.release()


def test_an_iteration_that_was_cut_short_says_so(kicked: Kicked) -> None:
    kicked.guest.start(size=4)
    offer(kicked.guest, 2)
    queue = kicked.device.queues[0]
    assert len(list(queue)) == 2
    assert not queue.unfinished
    kicked.guest.queues[0].publish(0)
    taken = 0
    for chain in queue:
        kicked.guest.queues[0].publish(chain.head)
        taken += 1
    assert taken == 4
    assert queue.unfinished
    assert len(list(queue)) == 1
    assert not queue.unfinished
