"""Named ports of the console device: control messages, data of several ports, and their bounds."""

from __future__ import annotations

from struct import pack, unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from vmm.devices.virtio.chain import Chain
from vmm.devices.virtio.console import control
from vmm.devices.virtio.console.device import (
    CONTROL_RECEIVE,
    CONTROL_TRANSMIT,
    F_MULTIPORT,
    RECEIVE,
    TRANSMIT,
    ConsoleDevice,
)
from vmm.devices.virtio.console.port import INPUT_ROOM, Port
from vmm.devices.virtio.mmio import PAUSE_NS

READY, OPEN = control.EVENT_PORT_READY, control.EVENT_PORT_OPEN
ADD, NAME, CONSOLE = control.EVENT_PORT_ADD, control.EVENT_PORT_NAME, control.EVENT_CONSOLE_PORT

# Queues of port 1.
RECEIVE1, TRANSMIT1 = 4, 5


class Peer:
    """A host's end that the test is."""

    def __init__(self) -> None:
        self.connected = False
        self.got = b""
        self.room = 1 << 30
        self.told = 0

    def send(self, data: bytes) -> int:
        taken = data[: self.room]
        self.got += taken
        self.room -= len(taken)
        return len(taken)

    def on_room(self) -> None:
        pass

    def on_told(self) -> None:
        self.told += 1


class Driver:
    """A driver of a console with a console and two further ports, numbers 1 and 3."""

    def __init__(self, features: int | None = None, messages: int = 64) -> None:
        memory = d.ram()
        self.peers = {number: Peer() for number in (0, 1, 3)}
        self.peers[0].connected = True
        self.ports = {
            number: Port(peer, f"port {number}" if number else "")
            for number, peer in self.peers.items()
        }
        self.device = ConsoleDevice(memory, [self.ports.get(number) for number in range(4)])
        self.guest = Guest(self.device, memory)
        self.guest.start(features)
        self.buffers: dict[tuple[int, int], int] = {}
        if features is None or features & F_MULTIPORT:
            for _ in range(messages):
                self.offer(CONTROL_RECEIVE, 64)

    def offer(self, index: int, length: int) -> None:
        queue = self.guest.queues[index]
        address = queue.allocate(length)
        self.buffers[index, queue.offer([(address, length, True)])] = address
        self.guest.kick(index)

    def received(self, index: int) -> list[bytes]:
        result = []
        while used := self.guest.queues[index].take():
            address = self.buffers.pop((index, used.head))
            result.append(self.guest.memory.read(d.Gpa(address), used.length))
        return result

    def tell(self, number: int, event: int, value: int = 1) -> None:
        self.guest.request(CONTROL_TRANSMIT, pack("<IHH", number, event, value), 0)

    def told(self) -> list[tuple[int, int, int, bytes]]:
        """What control messages say: port, event, value, and what follows."""
        messages = self.received(CONTROL_RECEIVE)
        return [(*unpack_from("<IHH", message), message[8:]) for message in messages]

    def connect(self, number: int, connected: bool = True) -> None:
        self.peers[number].connected = connected
        self.ports[number].changed()


def ready(number: int = 1) -> Driver:
    driver = Driver()
    driver.tell(0xFFFF_FFFF, control.EVENT_DEVICE_READY)
    driver.tell(number, READY)
    driver.tell(number, OPEN)
    driver.told()
    return driver


def test_a_driver_learns_of_its_ports() -> None:
    driver = Driver()
    assert driver.guest.transport.read(d.CONFIG + 4, 4) == 4
    assert driver.guest.read(d.QUEUE_NUM_MAX) == 64
    assert driver.told() == []
    driver.tell(0xFFFF_FFFF, control.EVENT_DEVICE_READY)
    assert driver.told() == [(number, ADD, 1, b"") for number in (0, 1, 3)]
    driver.tell(0, READY)
    assert driver.told() == [(0, CONSOLE, 1, b""), (0, OPEN, 1, b"")]
    driver.device.resize(80, 25)
    assert driver.told() == [(0, control.EVENT_RESIZE, 0, pack("<HH", 80, 25))]
    driver.tell(3, READY)
    assert driver.told() == [(3, NAME, 1, b"port 3")]
    driver.connect(3)
    assert driver.told() == [(3, OPEN, 1, b"")]


def test_data_goes_to_the_port_that_it_is_for() -> None:
    driver = ready()
    driver.guest.request(TRANSMIT1, b"from the guest", 0)
    driver.guest.request(TRANSMIT, b"console", 0)
    assert {n: peer.got for n, peer in driver.peers.items()} == {
        0: b"console",
        1: b"from the guest",
        3: b"",
    }
    driver.offer(RECEIVE1, 100)
    assert driver.ports[1].receive(b"from the host") == 13
    assert driver.received(RECEIVE1) == [b"from the host"]


def test_ports_that_are_not_there_take_what_they_get() -> None:
    driver = ready()
    driver.guest.request(7, b"for port 2", 0)
    driver.offer(6, 10)
    driver.tell(2, READY)
    driver.tell(4, OPEN)
    assert driver.told() == []
    assert driver.received(6) == []


def test_input_is_taken_only_while_the_guest_has_the_port_open() -> None:
    driver = ready()
    assert driver.ports[1].receive(b"x" * 5000) == INPUT_ROOM
    assert driver.ports[1].receive(b"more") == 0
    driver.tell(1, OPEN, 0)
    assert driver.ports[1].receive(b"more") == 0
    driver.tell(1, OPEN, 1)
    driver.offer(RECEIVE1, 100)
    assert driver.received(RECEIVE1) == []
    driver.ports[1].receive(b"new")
    assert driver.received(RECEIVE1) == [b"new"]


def test_output_waits_for_the_host() -> None:
    driver = ready()
    driver.peers[1].room = 3
    queue = driver.guest.queues[TRANSMIT1]
    for content in (b"first", b"second", b"third"):
        queue.offer([(queue.allocate(len(content), content), len(content), False)])
    driver.guest.kick(TRANSMIT1)
    assert driver.peers[1].got == b"fir"
    assert queue.used_index == 1
    driver.peers[1].room = 4
    driver.ports[1].resume()
    assert driver.peers[1].got == b"firstse"
    driver.peers[1].room = 100
    driver.ports[1].resume()
    assert driver.peers[1].got == b"firstsecondthird"
    assert queue.used_index == 3


def test_the_end_comes_behind_the_data() -> None:
    driver = ready()
    driver.connect(1)
    assert driver.told() == [(1, OPEN, 1, b"")]
    driver.ports[1].receive(b"good bye")
    before = driver.peers[1].told
    driver.connect(1, False)
    assert driver.told() == []
    driver.offer(RECEIVE1, 4)
    assert driver.told() == []
    driver.offer(RECEIVE1, 4)
    assert driver.received(RECEIVE1) == [b"good", b" bye"]
    assert driver.told() == [(1, OPEN, 0, b"")]
    assert driver.peers[1].told > before


def test_messages_wait_for_buffers_and_are_there_once() -> None:
    driver = Driver(messages=0)
    for _ in range(500):
        driver.tell(0, control.EVENT_DEVICE_READY)
        driver.tell(1, READY)
        driver.tell(3, READY)
    driver.connect(1)
    driver.connect(1, False)
    driver.connect(3)
    for _ in range(10):
        driver.offer(CONTROL_RECEIVE, 64)
    assert driver.told() == [
        (0, ADD, 1, b""),
        (1, NAME, 1, b"port 1"),
        (3, NAME, 1, b"port 3"),
        (3, OPEN, 1, b""),
    ]


def test_a_driver_that_sets_a_port_up_again_is_told_again() -> None:
    driver = ready()
    driver.connect(1)
    driver.told()
    driver.tell(1, READY)
    assert driver.told() == [(1, NAME, 1, b"port 1"), (1, OPEN, 1, b"")]
    driver.tell(1, READY, 0)
    driver.connect(1, False)
    assert driver.told() == []


def test_a_driver_of_one_port_has_the_console() -> None:
    driver = Driver(d.VERSION_1)
    driver.guest.request(TRANSMIT, b"text", 0)
    assert driver.peers[0].got == b"text"
    driver.offer(RECEIVE, 10)
    driver.ports[0].receive(b"keys")
    assert driver.received(RECEIVE) == [b"keys"]
    driver.guest.queues[TRANSMIT1].offer([(d.RAM, 4, False)])
    driver.guest.kick(TRANSMIT1)
    assert driver.peers[1].got == b""


@pytest.mark.parametrize("length", [0, 1, 7])
def test_short_messages_say_nothing(length: int) -> None:
    driver = Driver()
    driver.guest.request(CONTROL_TRANSMIT, bytes(length), 0) if length else None
    queue = driver.guest.queues[CONTROL_TRANSMIT]
    queue.offer([(d.RAM, length, False)])
    driver.guest.kick(CONTROL_TRANSMIT)
    assert driver.told() == []
    assert not driver.guest.needs_reset


def test_a_reset_forgets_what_the_guest_was_told() -> None:
    driver = ready()
    driver.connect(1)
    driver.ports[1].receive(b"old")
    driver.guest.start()
    driver.buffers.clear()
    for _ in range(8):
        driver.offer(CONTROL_RECEIVE, 64)
    driver.offer(RECEIVE1, 10)
    driver.tell(1, READY)
    assert driver.told() == [(1, NAME, 1, b"port 1"), (1, OPEN, 1, b"")]
    assert driver.received(RECEIVE1) == []


MESSAGES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 8), st.sampled_from((0, 1, 2, 0xFFFF))),
    max_size=40,
)


@given(messages=MESSAGES, connections=st.lists(st.sampled_from((1, 3)), max_size=5))
def test_the_last_word_on_connections_is_true(
    messages: list[tuple[int, int, int]], connections: list[int]
) -> None:
    """Whatever else is said, a driver that sets a port up knows in the end who is there."""
    driver = Driver(messages=0)
    known: dict[int, bool] = {}
    for number, event, value in messages:
        driver.tell(number, event, value)
        if number in driver.ports and event == READY:
            known[number] = False
    for number in connections:
        driver.connect(number, not driver.peers[number].connected)
    for number in driver.ports:
        driver.tell(number, READY)
        known[number] = False
    for _ in range(20):
        driver.offer(CONTROL_RECEIVE, 64)
    for number, event, value, _ in driver.told():
        if event == OPEN:
            known[number] = bool(value)
    assert known == {number: peer.connected for number, peer in driver.peers.items()}


def test_a_port_that_is_closed_in_the_middle_of_input_is_left_alone() -> None:
    driver = ready()
    buffers = driver.guest.queues[RECEIVE1]
    queue = driver.device.queues[RECEIVE1]
    push = queue.push

    def push_and_offer_again(chain: Chain, written: int) -> None:
        push(chain, written)
        buffers.take()
        buffers.offer([(d.RAM, 0, True)])

    queue.push = push_and_offer_again  # type: ignore[method-assign]
    buffers.offer([(d.RAM, 0, True)])
    driver.ports[1].receive(b"x")
    queue.push = push  # type: ignore[method-assign]
    driver.tell(1, OPEN, 0)
    driver.guest.clock.advance(PAUSE_NS)
    assert all(timer.deadline is None for timer in driver.guest.clock.timers)
