"""The console device: output, input with and without buffers, emergency writes."""

from __future__ import annotations

from tests.vmm.devices.parts import Screen
from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from vmm.devices.virtio.chain import Chain
from vmm.devices.virtio.console.device import F_SIZE, ConsoleDevice
from vmm.devices.virtio.console.host import ConsoleEnd
from vmm.devices.virtio.console.port import INPUT_ROOM, MAX_OUTPUT, Port
from vmm.devices.virtio.mmio import PAUSE_NS

RECEIVE, TRANSMIT = 0, 1


class Terminal:
    """A driver and the host's end."""

    def __init__(self) -> None:
        memory = d.ram()
        self.screen = Screen()
        self.waiting = b""
        self.starts = 0
        end = ConsoleEnd(self)
        self.port = Port(end)
        end.attach(self.port)
        self.device = ConsoleDevice(memory, [self.port])
        self.guest = Guest(self.device, memory)

    @property
    def sink(self) -> Screen:
        return self.screen

    def connect(self, uart: Port) -> None:
        assert uart is self.port
        self.starts += 1

    def feed(self) -> None:
        self.waiting = self.waiting[self.port.receive(self.waiting) :]

    def offer(self, length: int) -> int:
        queue = self.guest.queues[RECEIVE]
        address = queue.allocate(length)
        queue.offer([(address, length, True)])
        return address

    def received(self, address: int) -> bytes:
        used = self.guest.queues[RECEIVE].take()
        assert used is not None
        return self.guest.memory.read(d.Gpa(address), used.length)


def started() -> Terminal:
    terminal = Terminal()
    terminal.guest.start()
    return terminal


def test_output_reaches_the_host() -> None:
    terminal = started()
    assert terminal.guest.read(d.DEVICE_ID) == 3
    terminal.guest.request(TRANSMIT, b"hello, ", 0)
    terminal.guest.request(TRANSMIT, b"world\n", 0, indirect=True)
    assert terminal.screen.text == b"hello, world\n"


def test_endless_output_is_cut() -> None:
    terminal = started()
    queue = terminal.guest.queues[TRANSMIT]
    queue.offer([(d.RAM, 2 << 20, False)] * 4)
    terminal.guest.kick(TRANSMIT)
    assert queue.take() is not None
    assert len(terminal.screen.text) == MAX_OUTPUT


def test_input_fills_waiting_buffers() -> None:
    terminal = started()
    first, second = terminal.offer(4), terminal.offer(8)
    terminal.guest.kick(RECEIVE)
    terminal.guest.acknowledge()
    assert terminal.port.receive(b"abcdef") == 6
    assert terminal.guest.irq.level
    assert terminal.received(first) == b"abcd"
    assert terminal.received(second) == b"ef"


def test_input_waits_for_buffers() -> None:
    terminal = started()
    assert terminal.port.receive(b"early") == 5
    assert terminal.guest.queues[RECEIVE].take() is None
    address = terminal.offer(16)
    terminal.guest.kick(RECEIVE)
    assert terminal.received(address) == b"early"


def test_input_is_bounded_and_goes_on() -> None:
    terminal = started()
    terminal.waiting = bytes(range(256)) * 20
    whole = terminal.waiting
    terminal.feed()
    assert len(terminal.waiting) == len(whole) - INPUT_ROOM
    got = b""
    while len(got) < len(whole):
        address = terminal.offer(1000)
        terminal.guest.kick(RECEIVE)
        got += terminal.received(address)
    assert got == whole


def test_buffers_without_room_do_not_hold_the_bus() -> None:
    terminal = started()
    queue, driver = terminal.device.queues[RECEIVE], terminal.guest.queues[RECEIVE]
    pushes = 0
    push = queue.push

    def push_and_offer_again(chain: Chain, written: int) -> None:
        # What a driver on another processor may do meanwhile.
        nonlocal pushes
        push(chain, written)
        driver.take()
        driver.offer([(d.RAM, 0, True)])
        pushes += 1
        assert pushes < 10_000

    queue.push = push_and_offer_again  # type: ignore[method-assign]
    driver.offer([(d.RAM, 0, True)])
    terminal.port.receive(b"x")
    assert pushes == queue.size
    queue.push = push  # type: ignore[method-assign]
    address = terminal.offer(1)
    terminal.guest.clock.advance(PAUSE_NS)
    while driver.next_used != driver.used_index:
        last = terminal.received(address)
    assert last == b"x"


def test_no_input_is_taken_before_a_driver_is_ready() -> None:
    terminal = Terminal()
    assert terminal.port.room() == 0
    assert terminal.port.receive(b"lost?") == 0
    assert terminal.starts == 0
    terminal.guest.start()
    assert terminal.starts == 1
    assert terminal.port.room() == INPUT_ROOM


def test_emergency_writes_need_no_driver() -> None:
    terminal = Terminal()
    terminal.guest.transport.write(d.CONFIG + 8, 4, ord("!"))
    assert terminal.screen.text == b"!"


def test_the_driver_learns_the_size() -> None:
    terminal = started()
    assert terminal.guest.features() & F_SIZE
    generation = terminal.guest.read(d.CONFIG_GENERATION)
    terminal.device.resize(132, 50)
    assert terminal.guest.acknowledge() == 2
    assert terminal.guest.read(d.CONFIG_GENERATION) != generation
    assert terminal.guest.transport.read(d.CONFIG, 4) == 50 << 16 | 132
