"""The network device: frames both ways, merged buffers, and a real TAP interface."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from unittest.mock import ANY

import pytest

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from vmm.devices.virtio import net, split
from vmm.devices.virtio.chain import copy_to
from vmm.devices.virtio.net import HEADER_SIZE, MAX_FRAME, NetDevice
from vmm.devices.virtio.tap import Tap, open_tap
from vmm.errors import UsageError
from vmm.machine.events import EventLoop

RECEIVE, TRANSMIT = 0, 1
MAC = bytes.fromhex("020000c0ffee")
PLAIN = d.VERSION_1 | net.F_MAC


class Wire:
    """A network that the test is the other end of."""

    offloads = net.OFFLOADS

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.arriving: list[bytes] = []
        self.told = -1
        self.waiting = False

    def send(self, frame: list[memoryview]) -> None:
        self.sent.append(b"".join(frame))

    def receive(self, room: list[memoryview]) -> int:
        return copy_to(room, self.arriving.pop(0)) if self.arriving else 0

    def set_offloads(self, features: int) -> None:
        self.told = features

    def wait(self) -> None:
        self.waiting = True


class Card:
    """A driver of a network device."""

    def __init__(self, features: int | None = None) -> None:
        memory = d.ram()
        self.wire = Wire()
        self.device = NetDevice(memory, link=self.wire, mac=MAC)
        self.guest = Guest(self.device, memory)
        self.guest.start(features)
        self.buffers: dict[int, int] = {}

    def offer(self, *lengths: int) -> None:
        queue = self.guest.queues[RECEIVE]
        for length in lengths:
            address = queue.allocate(length)
            self.buffers[queue.offer([(address, length, True)])] = address
        self.guest.kick(RECEIVE)

    def arrive(self, *frames: bytes) -> None:
        self.wire.arriving += frames
        self.device.on_frame()

    def received(self) -> list[bytes]:
        result = []
        while used := self.guest.queues[RECEIVE].take():
            address = self.buffers[used.head]
            result.append(self.guest.memory.read(d.Gpa(address), used.length))
        return result


def frame(content: bytes) -> bytes:
    return bytes(HEADER_SIZE) + content


def delivered(content: bytes, buffers: int = 1) -> bytes:
    return bytes(10) + buffers.to_bytes(2, "little") + content


def test_the_driver_learns_its_address() -> None:
    card = Card()
    assert card.guest.read(d.DEVICE_ID) == 1
    assert card.guest.transport.read(d.CONFIG, 8) == int.from_bytes(MAC + b"\x01\0", "little")


@pytest.mark.parametrize("indirect", [False, True])
def test_frames_are_sent_with_their_header(indirect: bool) -> None:
    card = Card()
    queue = card.guest.queues[TRANSMIT]
    header, content = queue.allocate(12, bytes(range(12))), queue.allocate(60, b"#" * 60)
    queue.offer([(header, 12, False), (content, 60, False)], indirect=indirect)
    card.guest.kick(TRANSMIT)
    assert card.wire.sent == [bytes(range(12)) + b"#" * 60]
    assert queue.take() is not None


@pytest.mark.parametrize("length", [0, 1, HEADER_SIZE, MAX_FRAME + 1, 1 << 18])
def test_what_is_no_frame_is_not_sent(length: int) -> None:
    card = Card()
    card.guest.queues[TRANSMIT].offer([(d.RAM, length, False)])
    card.guest.kick(TRANSMIT)
    assert card.guest.queues[TRANSMIT].take() is not None
    assert card.wire.sent == []


@pytest.mark.parametrize("features", [None, PLAIN], ids=["all", "plain"])
def test_frames_are_received(features: int | None) -> None:
    card = Card(features)
    card.offer(1526, 1526)
    assert card.wire.waiting
    card.arrive(frame(b"one"), frame(b"two"))
    assert card.received() == [delivered(b"one"), delivered(b"two")]


def test_long_frames_are_spread_over_merged_buffers() -> None:
    card = Card()
    content = os.urandom(3000)
    card.offer(1526, 1000, 1526)
    card.arrive(frame(content))
    parts = card.received()
    assert [len(part) for part in parts] == [1526, 1000, 3012 - 2526]
    assert b"".join(parts) == delivered(content, 3)


def test_a_driver_sees_all_of_a_merged_frame_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card()
    card.offer(*[100] * 8)
    seen = set()
    used = card.guest.queues[RECEIVE]
    monkeypatch.setattr(split, "fence", lambda: seen.add(used.used_index))
    card.arrive(frame(bytes(300)), frame(bytes(300)))
    assert used.used_index == 8
    assert seen <= {0, 4, 8}


def test_a_frame_waits_for_buffers() -> None:
    card = Card()
    card.wire.waiting = False
    card.offer(100)
    card.arrive(frame(b"x" * 200), frame(b"next"))
    assert card.received() == []
    assert card.wire.arriving == [frame(b"next")]
    card.offer(200, 100)
    assert b"".join(card.received()[:2]) == delivered(b"x" * 200, 2)


def test_a_frame_that_no_buffer_can_hold_is_lost() -> None:
    card = Card(PLAIN)
    card.offer(100, 100)
    card.arrive(frame(b"x" * 200), frame(b"small"))
    assert card.received() == [delivered(b"small")]


def test_buffers_looked_at_for_one_frame_serve_the_next() -> None:
    card = Card()
    card.offer(*[1526] * 5)
    card.arrive(frame(b"one"))
    card.offer(*[1526] * 3)
    card.arrive(frame(os.urandom(4000)), frame(b"three"))
    assert [used[10:12] for used in card.received()] == [b"\1\0", b"\3\0", ANY, ANY, b"\1\0"]


def test_a_queue_set_up_anew_gives_none_of_its_old_buffers() -> None:
    card = Card()
    card.offer(1526, 1526)
    card.arrive(frame(b"one"))
    card.guest.start()
    card.offer(100)
    card.arrive(frame(b"two"))
    assert card.received() == [delivered(b"two")]


def test_a_header_may_be_spread_over_buffers() -> None:
    card = Card()
    card.offer(11, 50)
    card.arrive(frame(b"spread"))
    assert b"".join(card.received()) == delivered(b"spread", 2)


@pytest.mark.parametrize("lengths", [(60,), (1500,), (1501,), (60, 9000, 60)])
def test_long_frames_may_be_gathered(lengths: tuple[int, ...]) -> None:
    card = Card()
    for length in lengths:
        content = frame(bytes(14 + length))
        queue = card.guest.queues[TRANSMIT]
        queue.offer([(queue.allocate(len(content), content), len(content), False)])
    card.guest.kick(TRANSMIT)
    assert card.device.gathers == (max(lengths) > 1500)


def test_a_flood_lets_others_have_their_turn() -> None:
    card = Card()
    card.offer(*[64] * 200)
    card.arrive(*[frame(b"flood")] * 200)
    assert len(card.received()) == net.BUDGET


def test_the_link_hears_of_offloads() -> None:
    card = Card(PLAIN | net.F_GUEST_CSUM)
    assert card.wire.told == PLAIN | net.F_GUEST_CSUM
    card.guest.write(d.STATUS, 0)
    assert card.wire.told == 0


# ---- A TAP interface of the host ----


@pytest.fixture
def tap_name() -> str:
    name = f"vmmtest{os.getpid() % 10_000_000}"
    try:
        os.close(open_tap(name))
    except UsageError as error:
        pytest.skip(f"TAP interfaces cannot be made here: {error}")
    return name


@pytest.fixture
def lock() -> threading.RLock:
    return threading.RLock()


@pytest.fixture
def events(lock: threading.RLock) -> Iterator[EventLoop]:
    loop = EventLoop(lock)
    yield loop
    loop.close()


def test_a_tap_carries_frames(tap_name: str, lock: threading.RLock, events: EventLoop) -> None:
    from vmm.devices.virtio.tap import configure

    tap = Tap(tap_name, events)
    configure(tap_name, "", "")  # up, with no address that could be somebody's
    memory = d.ram()
    device = NetDevice(memory, link=tap, mac=MAC)
    guest = Guest(device, memory)
    tap.on_frame = device.on_frame
    ethertype = 0x88B5  # for local experiments
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethertype)) as host:
        host.bind((tap_name, ethertype))
        host.settimeout(10)
        to_guest = MAC + bytes(6) + ethertype.to_bytes(2, "big") + b"from the host".ljust(50)
        with lock:
            guest.start()
            queue = guest.queues[RECEIVE]
            address = queue.allocate(1526)
            queue.offer([(address, 1526, True)])
            guest.kick(RECEIVE)
        host.send(to_guest)
        got = b""
        deadline = time.monotonic() + 10
        while to_guest not in got:  # the kernel says hello to its neighbours first
            assert time.monotonic() < deadline
            time.sleep(0.002)
            with lock:
                while used := queue.take():
                    got += guest.memory.read(d.Gpa(address), used.length)
                    queue.offer([(address, 1526, True)])
                guest.kick(RECEIVE)
        to_host = b"\xff" * 6 + MAC + ethertype.to_bytes(2, "big") + b"from the guest".ljust(50)
        with lock:
            guest.request(TRANSMIT, bytes(HEADER_SIZE) + to_host, 0)
        assert host.recv(2000) == to_host
        tap.close()
        with lock:
            guest.request(TRANSMIT, bytes(HEADER_SIZE) + to_host, 0)


def test_a_tap_that_vanishes_is_silent(
    tap_name: str, lock: threading.RLock, events: EventLoop
) -> None:
    """The guest's frames are lost, nothing is received, and nobody waits for it in a circle."""
    from pyroute2 import IPRoute

    calls = []
    tap = Tap(tap_name, events)
    memory = d.ram()
    device = NetDevice(memory, link=tap, mac=MAC)
    guest = Guest(device, memory)

    def on_frame() -> None:
        calls.append(time.monotonic())
        device.on_frame()

    tap.on_frame = on_frame
    with lock:
        guest.start()
        address = guest.queues[RECEIVE].allocate(1526)
        guest.queues[RECEIVE].offer([(address, 1526, True)])
        guest.kick(RECEIVE)
    with IPRoute() as routes:
        routes.link("del", index=routes.link_lookup(ifname=tap_name)[0])
    time.sleep(0.2)
    assert len(calls) < 5
    with lock:
        assert device.live
        guest.request(TRANSMIT, bytes(HEADER_SIZE) + b"\xff" * 60, 0)
    tap.close()


@pytest.mark.parametrize("name", ["", "x" * 16, "a/b", ".."])
def test_names_that_no_interface_has_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not the name of an interface"):
        open_tap(name)
