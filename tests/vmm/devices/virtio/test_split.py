"""Rules of split virtqueues alone, and how drivers break them."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from tests.vmm.devices.virtio.echo import Echo
from tests.vmm.devices.virtio.rings import INDIRECT, NEXT, WRITE, Used
from vmm.devices.virtio.split import distance


@pytest.fixture
def guest() -> Guest:
    memory = d.ram()
    guest = Guest(Echo(memory), memory)
    guest.start()
    return guest


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_distances_wrap_around(start: int, steps: int) -> None:
    assert distance((start + steps) % 65536, start) == steps


def test_direct_descriptors_may_come_before_an_indirect_one(guest: Guest) -> None:
    queue = guest.queues[0]
    text, answer = queue.allocate(3, b"abc"), queue.allocate(3)
    inner = pack("<QIHH", answer, 3, WRITE, 0)
    queue.describe(0, text, 3, NEXT, 1)
    # The write flag of the descriptor that refers to a table is to be ignored (2.7.5.3.2).
    queue.describe(1, queue.allocate(16, inner), 16, INDIRECT | WRITE)
    queue.publish(0)
    guest.kick(0)
    assert queue.take() == Used(0, 3)
    assert guest.memory.read(d.Gpa(answer), 3) == b"abc"


def broken_next(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 4, NEXT, 16)


def broken_indirect_twice(guest: Guest) -> None:
    inner = guest.queues[0].allocate(16, pack("<QIHH", d.RAM, 16, INDIRECT, 0))
    guest.queues[0].describe(0, inner, 16, INDIRECT)


def broken_indirect_loop(guest: Guest) -> None:
    inner = guest.queues[0].allocate(16, pack("<QIHH", d.RAM, 16, NEXT, 0))
    guest.queues[0].describe(0, inner, 16, INDIRECT)


@pytest.mark.parametrize("break_rule", [broken_next, broken_indirect_twice, broken_indirect_loop])
def test_a_broken_rule_needs_a_reset(break_rule: Callable[[Guest], None], guest: Guest) -> None:
    break_rule(guest)
    guest.queues[0].publish(0)
    guest.kick(0)
    assert guest.needs_reset
    assert guest.queues[0].take() is None


def test_a_size_that_is_no_power_of_two_needs_a_reset(guest: Guest) -> None:
    guest.negotiate(d.VERSION_1)
    guest.queues[0].size = 12
    guest.set_up(0, guest.queues[0])
    assert guest.needs_reset


@pytest.mark.parametrize("index", [17, 0x7FFF, 0xFFFF])
def test_more_available_than_the_queue_holds_needs_a_reset(guest: Guest, index: int) -> None:
    guest.memory.write(d.Gpa(guest.queues[0].available + 2), pack("<H", index))
    guest.kick(0)
    assert guest.needs_reset


def test_a_used_ring_over_the_available_ring_harms_only_the_guest(guest: Guest) -> None:
    queue = guest.queues[0]
    guest.negotiate(d.VERSION_1)
    queue.used = queue.available & ~3
    guest.set_up(0, queue)
    guest.write(d.STATUS, 0xF)
    queue.offer([(queue.allocate(4, b"abcd"), 4, False)])
    guest.kick(0)
    guest.start()


def test_the_flag_counts_for_nothing_with_an_event_index(guest: Guest) -> None:
    guest.queues[0].set_quiet(True)
    guest.request(0, b"loud", 4)
    assert guest.irq.level
