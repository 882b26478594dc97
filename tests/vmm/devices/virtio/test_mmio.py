"""The transport: identification, status machine, features, queue set-up, interrupts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from tests.vmm.devices.virtio.echo import Echo
from vmm.devices.virtio import mmio


@pytest.fixture
def guest() -> Guest:
    memory = d.ram()
    return Guest(Echo(memory), memory)


def test_a_driver_recognises_the_device(guest: Guest) -> None:
    assert guest.read(d.MAGIC) == 0x7472_6976
    assert guest.read(d.VERSION) == 2
    assert guest.read(d.DEVICE_ID) == 0x2A
    assert guest.features() == d.INDIRECT_DESC | d.EVENT_IDX | d.VERSION_1


def test_features_beyond_64_are_none(guest: Guest) -> None:
    guest.write(d.DEVICE_FEATURES_SEL, 2)
    assert guest.read(d.DEVICE_FEATURES) == 0


@pytest.mark.parametrize(
    "features", [0, d.EVENT_IDX, d.VERSION_1 | 1, d.VERSION_1 | 1 << 63], ids=hex
)
def test_features_that_cannot_be_are_refused(guest: Guest, features: int) -> None:
    assert not guest.negotiate(features)
    guest.write(d.STATUS, d.ACKNOWLEDGE | d.DRIVER | d.DRIVER_OK)
    assert not guest.read(d.STATUS) & d.DRIVER_OK


def test_features_are_fixed_once_agreed(guest: Guest) -> None:
    assert guest.negotiate(d.VERSION_1)
    guest.write(d.DRIVER_FEATURES_SEL, 0)
    guest.write(d.DRIVER_FEATURES, d.EVENT_IDX)
    guest.write(d.STATUS, 0xF)
    assert guest.device.features == d.VERSION_1


def test_features_need_a_driver_first(guest: Guest) -> None:
    guest.write(d.DRIVER_FEATURES_SEL, 1)
    guest.write(d.DRIVER_FEATURES, 1)
    guest.write(d.STATUS, d.ACKNOWLEDGE | d.FEATURES_OK)
    assert guest.read(d.STATUS) == d.ACKNOWLEDGE


def test_a_driver_cannot_set_needs_reset_nor_clear_bits(guest: Guest) -> None:
    guest.write(d.STATUS, d.ACKNOWLEDGE | d.NEEDS_RESET)
    guest.write(d.STATUS, d.DRIVER)
    assert guest.read(d.STATUS) == d.ACKNOWLEDGE | d.DRIVER


def test_a_request_is_served(guest: Guest) -> None:
    guest.start()
    assert guest.request(0, b"hello", 8) == (b"hello\0\0\0", 5)
    assert guest.request(1, b"hello", 3, indirect=True) == (b"hel", 3)
    assert guest.irq.level
    assert guest.acknowledge() == 1
    assert not guest.irq.level


@pytest.mark.parametrize("status", [0, 1, 3, 11])
def test_a_kick_before_driver_ok_has_no_effect(guest: Guest, status: int) -> None:
    guest.start()
    queue = guest.queues[0]
    guest.negotiate(d.VERSION_1)
    guest.write(d.STATUS, 0)
    if status == 11:
        guest.negotiate(d.VERSION_1)
    else:
        guest.write(d.STATUS, status)
    guest.set_up(0, queue)
    queue.offer([(queue.allocate(4), 4, True)])
    guest.kick(0)
    assert queue.take() is None
    assert not guest.irq.level


def test_buffers_offered_before_driver_ok_are_served_then(guest: Guest) -> None:
    guest.start()
    queue = guest.queues[0]
    guest.negotiate(d.VERSION_1)
    guest.set_up(0, queue)
    queue.offer([(queue.allocate(4), 4, True)])
    guest.write(d.STATUS, 0xF)
    assert queue.take() is not None


def test_kicks_of_queues_that_are_not_there_have_no_effect(guest: Guest) -> None:
    guest.start()
    guest.kick(2)
    guest.kick(0xFFFF_FFFF)
    assert not guest.needs_reset


def test_there_are_as_many_queues_as_the_device_has(guest: Guest) -> None:
    sizes = []
    for index in range(4):
        guest.write(d.QUEUE_SEL, index)
        sizes.append(guest.read(d.QUEUE_NUM_MAX))
        if sizes[-1] == 0:
            guest.write(d.QUEUE_READY, 1)
            assert guest.read(d.QUEUE_READY) == 0
    assert sizes == [16, 64, 0, 0]


def test_a_queue_that_is_ready_does_not_move(guest: Guest) -> None:
    guest.start()
    guest.write(d.QUEUE_SEL, 0)
    guest.write(d.QUEUE_NUM, 4)
    for register in (d.QUEUE_DESC, d.QUEUE_DRIVER, d.QUEUE_DEVICE):
        guest.write64(register, 0xFFFF_FFFF_FFFF_FFFF)
    assert guest.request(0, b"still", 5) == (b"still", 5)


@pytest.mark.parametrize(
    ("size", "descriptors", "available", "used"),
    [
        pytest.param(0, 0, 0, 0, id="no size"),
        pytest.param(3, 0, 0, 0, id="not a power of two"),
        pytest.param(32, 0, 0, 0, id="too big"),
        pytest.param(0x1_0000, 0, 0, 0, id="far too big"),
        pytest.param(16, 8, 0, 0, id="descriptors not aligned"),
        pytest.param(16, 0, 1, 0, id="available ring not aligned"),
        pytest.param(16, 0, 0, 2, id="used ring not aligned"),
        pytest.param(16, -16, 0, 0, id="descriptors across the start of RAM"),
        pytest.param(16, d.RAM_SIZE - 16, 0, 0, id="descriptors across the end of RAM"),
        pytest.param(16, 0, d.RAM_SIZE - 2, 0, id="available ring across the end"),
        pytest.param(16, 0, 0, 1 << 62, id="used ring nowhere"),
        pytest.param(16, (1 << 64) - d.RAM - 16, 0, 0, id="descriptors wrap around"),
    ],
)
def test_a_queue_that_cannot_be_needs_a_reset(
    guest: Guest, size: int, descriptors: int, available: int, used: int
) -> None:
    assert guest.negotiate(d.VERSION_1)
    guest.write(d.QUEUE_SEL, 0)
    guest.write(d.QUEUE_NUM, size)
    guest.write64(d.QUEUE_DESC, d.RAM + descriptors)
    guest.write64(d.QUEUE_DRIVER, d.RAM + available)
    guest.write64(d.QUEUE_DEVICE, d.RAM + used)
    guest.write(d.QUEUE_READY, 1)
    assert guest.needs_reset
    guest.write(d.STATUS, 0xF)
    guest.kick(0)
    assert guest.needs_reset
    assert guest.transport.failure
    guest.start()
    assert guest.request(0, b"again", 5) == (b"again", 5)


def test_needs_reset_of_a_running_device_interrupts(guest: Guest) -> None:
    guest.start()
    guest.queues[0].publish(99)
    guest.kick(0)
    assert guest.needs_reset
    assert guest.irq.level
    assert guest.acknowledge() == 2


def test_a_device_that_needs_a_reset_does_nothing(guest: Guest) -> None:
    guest.start()
    guest.queues[0].publish(99)
    guest.kick(0)
    other = guest.queues[1]
    other.offer([(other.allocate(4), 4, True)])
    guest.kick(1)
    assert other.take() is None


def test_reset_leads_back_to_the_beginning(guest: Guest) -> None:
    fresh = guest.transport.save()
    guest.start()
    guest.request(0, b"hello", 8)
    guest.write(d.STATUS, 0)
    assert guest.transport.save() == fresh
    assert not guest.irq.level


def test_a_change_of_the_configuration_is_told(guest: Guest) -> None:
    guest.start()
    before = guest.read(d.CONFIG_GENERATION)
    assert isinstance(guest.device, Echo)
    guest.device.change(b"news")
    assert guest.read(d.CONFIG_GENERATION) != before
    assert guest.acknowledge() == 2
    assert guest.read(d.CONFIG) == int.from_bytes(b"news", "little")


def test_the_configuration_takes_accesses_of_any_size(guest: Guest) -> None:
    read = guest.transport.read
    assert read(d.CONFIG, 1) == ord("c")
    assert read(d.CONFIG + 1, 2) == int.from_bytes(b"on", "little")
    assert read(d.CONFIG, 8) == int.from_bytes(b"configur", "little")
    assert read(d.CONFIG + 12, 4) == ord("n")
    assert read(d.CONFIG + 0xFC, 4) == 0
    guest.transport.write(d.CONFIG + 1, 1, ord("u"))
    assert read(d.CONFIG, 4) == int.from_bytes(b"cunf", "little")


def test_control_registers_take_words_only(guest: Guest) -> None:
    for size in (1, 2, 8):
        assert guest.transport.read(d.MAGIC, size) == 0
        guest.transport.write(d.STATUS, size, 1)
    assert guest.transport.read(d.MAGIC + 1, 4) == 0
    assert guest.read(d.STATUS) == 0
    assert guest.transport.unmodelled


def test_shared_memory_is_not_there(guest: Guest) -> None:
    assert {guest.read(offset) for offset in (0xB0, 0xB4, 0xB8, 0xBC)} == {0xFFFF_FFFF}


def test_interrupts_stay_until_acknowledged(guest: Guest) -> None:
    guest.start()
    guest.request(0, b"", 4)
    guest.device.transport.interrupt(2)
    guest.write(d.INTERRUPT_ACK, 1)
    assert guest.irq.level
    guest.write(d.INTERRUPT_ACK, 2)
    assert not guest.irq.level


# ---- A driver that never stops ----


class Restless(Echo):
    """Its driver runs on another processor, and gives back each buffer as long as it is ``busy``.

    Attributes:
        served: how many chains it has used.
        busy: the driver is at it.
    """

    give: Callable[[], object]
    served = 0
    busy = True

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        for chain in queue:
            queue.push(chain, 0)
            self.served += 1
            if self.busy:
                self.give()


@pytest.fixture
def restless() -> tuple[Guest, Restless]:
    memory = d.ram()
    device = Restless(memory)
    guest = Guest(device, memory)
    guest.start()
    queue = guest.queues[0]
    buffers = [(queue.allocate(4), 4, True)]

    def give() -> None:
        queue.take()
        queue.offer(buffers)

    device.give = give
    queue.offer(buffers)
    return guest, device


def test_a_driver_without_pause_leaves_the_bus_to_others(
    restless: tuple[Guest, Restless],
) -> None:
    guest, device = restless
    guest.kick(0)
    for rounds in range(1, 4):
        assert device.served == rounds * device.queues[0].size
        guest.clock.advance(mmio.PAUSE_NS)
    device.busy = False
    guest.clock.advance(mmio.PAUSE_NS)
    served = device.served
    assert guest.queues[0].take() is not None
    guest.clock.advance(mmio.PAUSE_NS)
    assert device.served == served


def test_what_is_left_to_serve_is_so_after_a_restore(restless: tuple[Guest, Restless]) -> None:
    guest, device = restless
    guest.kick(0)
    device.busy = False
    served = device.served
    guest.transport.load(guest.transport.save())
    guest.clock.advance(mmio.PAUSE_NS)
    assert device.served == served + 1


def test_a_reset_ends_what_was_left_to_serve(restless: tuple[Guest, Restless]) -> None:
    guest, device = restless
    guest.kick(0)
    served = device.served
    guest.write(d.STATUS, 0)
    guest.clock.advance(mmio.PAUSE_NS)
    assert device.served == served


def test_a_queue_does_not_wait_longer_where_another_is_to_be_served_later_too(
    restless: tuple[Guest, Restless],
) -> None:
    guest, device = restless
    guest.kick(0)
    device.busy = False
    served = device.served
    guest.clock.advance(mmio.PAUSE_NS - 1)
    guest.transport.serve_later(1)
    guest.clock.advance(1)
    assert device.served == served + 1
