"""Rules of packed virtqueues alone, and how drivers break them."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from tests.vmm.devices.virtio.echo import Echo
from tests.vmm.devices.virtio.kinds import packed
from tests.vmm.devices.virtio.rings import (
    AVAIL,
    INDIRECT,
    NEXT,
    USED,
    WRITE,
    PackedDriverQueue,
    Used,
)
from vmm.devices.virtio.packed import PackedQueue
from vmm.devices.virtio.split import SplitQueue

SIZE = 16  # of Echo's first queue


class Packed:
    """A driver of an `Echo` over packed virtqueues."""

    def __init__(self, features: int | None = None, size: int = 0) -> None:
        memory = d.ram()
        self.guest = Guest(packed(Echo)(memory), memory)
        self.guest.start(features, size)
        queue = self.guest.queues[0]
        assert isinstance(queue, PackedDriverQueue)
        self.queue = queue

    def write(self, position: int, flags: int, address: int = d.RAM, head: int = 0) -> None:
        """Write a descriptor of 16 bytes into the ring that is available then."""
        flags |= self.queue.available_flags(position)
        self.queue.write_descriptor(position, address, 16, head, flags)


@pytest.fixture
def driver() -> Packed:
    return Packed()


def test_the_layout_is_the_drivers_choice(driver: Packed) -> None:
    guest = driver.guest
    assert all(isinstance(queue, PackedQueue) for queue in guest.device.queues)
    guest.start(d.VERSION_1)
    assert all(isinstance(queue, SplitQueue) for queue in guest.device.queues)
    assert guest.request(0, b"well", 4) == (b"well", 4)


def test_a_reset_leads_back_to_split_queues(driver: Packed) -> None:
    driver.guest.write(d.STATUS, 0)
    assert all(isinstance(queue, SplitQueue) for queue in driver.guest.device.queues)


def test_devices_offer_packed_queues_only_where_told() -> None:
    memory = d.ram()
    guest = Guest(Echo(memory), memory)
    assert not guest.features() & d.RING_PACKED
    assert not guest.negotiate(guest.features() | d.RING_PACKED)


@given(size=st.integers(1, SIZE), shapes=st.lists(st.integers(1, SIZE), max_size=30))
def test_rings_of_any_size_go_around(size: int, shapes: list[int]) -> None:
    driver = Packed(size=size)
    queue = driver.queue
    buffer = queue.allocate(SIZE)
    for count in shapes:
        length = min(count, size)
        head = queue.offer([(buffer + at, 1, True) for at in range(length)])
        driver.guest.kick(0)
        assert queue.take() == Used(head, 0)
    assert queue.next_used == sum(min(count, size) for count in shapes) % (2 * size)
    assert not driver.guest.needs_reset


@given(st.integers(0, 0xFFFF), st.integers(0, 2 * SIZE - 1))
def test_a_buffer_id_is_the_drivers_own(head: int, start: int) -> None:
    """Any will do, also one that is in use already (2.8.13)."""
    driver = Packed()
    guest, queue = driver.guest, driver.queue
    for _ in range(start):
        guest.request(0, b"", 1)
    for _ in range(2):
        driver.write(queue.next_available, WRITE, head=head)
        queue.next_available = queue.advance(queue.next_available, 1)
    guest.kick(0)
    assert [queue.take(), queue.take(), queue.take()] == [Used(head, 0), Used(head, 0), None]


def test_flags_of_an_indirect_table_but_write_are_ignored(driver: Packed) -> None:
    guest, queue = driver.guest, driver.queue
    text, answer = queue.allocate(3, b"abc"), queue.allocate(3)
    ignored = INDIRECT | NEXT | AVAIL | USED
    table = pack("<QIHHQIHH", text, 3, 77, ignored, answer, 3, 99, ignored | WRITE)
    queue.describe(0, queue.allocate(32, table), 32, INDIRECT | WRITE)
    queue.publish(0)
    guest.kick(0)
    assert queue.take() == Used(0, 3)
    assert guest.memory.read(d.Gpa(answer), 3) == b"abc"


# ---- Rules that drivers break ----


def broken_tail(driver: Packed) -> None:
    """The chain goes on where nothing is available."""
    driver.write(0, NEXT)


def broken_wrap_counter(driver: Packed) -> None:
    """The second descriptor is from the next time around."""
    driver.queue.write_descriptor(1, d.RAM, 16, 0, driver.queue.available_flags(1 + SIZE))
    driver.write(0, NEXT)


def broken_mixture(driver: Packed) -> None:
    driver.write(1, INDIRECT)
    driver.write(0, NEXT)


def broken_size(driver: Packed) -> None:
    """More descriptors than there are: what the device has is made available once more."""
    for position in range(SIZE):
        driver.write(position, NEXT)


RULES = [broken_tail, broken_wrap_counter, broken_mixture, broken_size]


@pytest.mark.parametrize("break_rule", RULES)
@pytest.mark.parametrize("features", [None, d.VERSION_1 | d.RING_PACKED])
def test_a_broken_rule_needs_a_reset(
    break_rule: Callable[[Packed], None], features: int | None
) -> None:
    driver = Packed(features)
    break_rule(driver)
    driver.guest.kick(0)
    assert driver.guest.needs_reset
    driver.guest.start(features)
    assert driver.guest.request(0, b"well", 4) == (b"well", 4)


def test_what_the_device_has_cannot_be_given_to_it_again(driver: Packed) -> None:
    guest, queue = driver.guest, driver.guest.device.queues[0]
    for position in range(SIZE):
        driver.write(position, WRITE)
    chains = [queue.pop() for _ in range(SIZE)]
    assert all(chains)
    assert queue.pop() is None
    driver.write(SIZE, WRITE)
    guest.kick(0)
    assert guest.needs_reset


@pytest.mark.parametrize("flags", [AVAIL | USED, 0, USED])
def test_other_wrap_counters_mean_that_nothing_is_available(driver: Packed, flags: int) -> None:
    driver.queue.write_descriptor(0, d.RAM, 16, 0, flags)
    driver.guest.kick(0)
    assert not driver.guest.needs_reset
    assert driver.guest.device.queues[0].next_available == 0


def test_a_queue_in_use_does_not_get_smaller(driver: Packed) -> None:
    guest = driver.guest
    for _ in range(SIZE - 1):
        guest.request(0, b"", 1)
    guest.write(d.QUEUE_SEL, 0)
    guest.write(d.QUEUE_READY, 0)
    driver.queue.size = 4
    guest.set_up(0, driver.queue)
    assert guest.needs_reset
    guest.start()
    assert guest.request(0, b"well", 4) == (b"well", 4)


@pytest.mark.parametrize("area", ["available", "used"])
@pytest.mark.parametrize("address", [2, d.RAM + 2, d.RAM + d.RAM_SIZE, d.RAM - 4])
def test_event_suppression_that_cannot_be_needs_a_reset(
    driver: Packed, area: str, address: int
) -> None:
    guest = driver.guest
    guest.negotiate(guest.features())
    setattr(driver.queue, area, address)
    guest.set_up(0, driver.queue)
    assert guest.needs_reset


# ---- Notifications and order ----


@pytest.mark.parametrize(("text", "flags"), [(b"", 0), (b"text", WRITE)])
def test_a_used_descriptor_says_whether_something_was_written(
    driver: Packed, text: bytes, flags: int
) -> None:
    driver.guest.request(0, text, 4)
    assert driver.guest.memory.read_u16(d.Gpa(driver.queue.place(0) + 14)) == flags | AVAIL | USED


@pytest.mark.parametrize(
    ("features", "event", "wanted"),
    [
        (None, 0x0001_0000, False),  # disabled
        (None, 0x0003_0000, True),  # reserved
        (None, 0x0002_8000, True),  # for descriptor 0 of the first time
        (None, 0x0002_0000, False),  # for descriptor 0 of the second time
        (None, 0x0002_FFFF, False),  # for one that there is not
        (d.VERSION_1 | d.RING_PACKED, 0x0002_0000, True),  # no event index
    ],
)
def test_the_driver_says_for_what_to_interrupt(
    features: int | None, event: int, wanted: bool
) -> None:
    driver = Packed(features)
    driver.guest.memory.write(d.Gpa(driver.queue.available), pack("<I", event))
    driver.guest.request(0, b"text", 4)
    assert driver.guest.irq.level == wanted


def test_an_event_is_not_missed_when_the_ring_went_around(driver: Packed) -> None:
    """A driver that gives while the device takes can be ahead of an interrupt by any number."""
    queue, device = driver.queue, driver.guest.device.queues[0]
    queue.set_used_event(5)
    buffer = queue.allocate(4)
    for _ in range(2 * SIZE):
        queue.offer([(buffer, 4, True)])
        chain = device.pop()
        assert chain is not None
        device.push(chain, 0)
        queue.take()
    assert device.wants_interrupt()
    assert not device.wants_interrupt()


@given(st.permutations(range(4)), st.lists(st.integers(1, 4), min_size=4, max_size=4))
def test_chains_are_given_back_in_any_order(order: list[int], lengths: list[int]) -> None:
    driver = Packed()
    queue, device = driver.queue, driver.guest.device.queues[0]
    buffer = queue.allocate(4)
    for _ in range(3):
        heads = [queue.offer([(buffer, 4, True)] * length) for length in lengths]
        chains = [chain for chain, _ in zip(device, lengths, strict=True)]
        device.push_all([(chains[at].head, chains[at].count, at) for at in order])
        assert [queue.take() for _ in lengths] == [Used(heads[at], at) for at in order]
    assert device.next_used == device.next_available == queue.next_used


def test_chains_are_taken_back_last_first(driver: Packed) -> None:
    queue, device = driver.queue, driver.guest.device.queues[0]
    buffer = queue.allocate(4)
    heads = [queue.offer([(buffer, 4, True)] * 3) for _ in range(4)]
    chains = list(device)
    assert [chain.head for chain in chains] == heads
    for chain in reversed(chains):
        device.undo_pop(chain)
    assert [chain.head for chain in device] == heads


def test_chains_are_looked_at_before_they_are_taken(driver: Packed) -> None:
    queue, device = driver.queue, driver.guest.device.queues[0]
    buffer = queue.allocate(4)
    for _ in range(5):
        heads = [queue.offer([(buffer, 4, True)] * length) for length in (3, 1, 2)]
        assert [head for head, _, _ in device.peek(13).chains] == heads[:2]
        assert [head for head, _, _ in device.peek(17).chains] == heads
        device.push_all(device.take(13))
        assert [head for head, _, _ in device.peek(1).chains] == heads[2:]
        device.push_all(device.take(8))
        lengths = (12, 1, 8)
        used = [Used(head, length) for head, length in zip(heads, lengths, strict=True)]
        assert [queue.take() for _ in heads] == used
    assert device.next_available == device.next_used == queue.next_used
