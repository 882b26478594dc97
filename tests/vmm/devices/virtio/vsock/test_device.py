"""The socket device between a driver and real UNIX sockets."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from vmm.devices.virtio.chain import Chain
from vmm.devices.virtio.mmio import PAUSE_NS
from vmm.devices.virtio.vsock import device as vsock
from vmm.devices.virtio.vsock import packet as vs
from vmm.devices.virtio.vsock.device import BUFFER, VsockDevice
from vmm.devices.virtio.vsock.host import VsockHost
from vmm.devices.virtio.vsock.packet import HEADER, Packet, unpack
from vmm.errors import UsageError
from vmm.machine.events import EventLoop

RECEIVE, TRANSMIT, EVENT = 0, 1, 2
CID = 7
ROOM = 1 << 16


class Sockets:
    """A driver of a socket device with one stream in mind."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.lock = threading.RLock()
        self.events = EventLoop(self.lock)
        self.host = VsockHost(self.path, self.events)
        memory = d.ram()
        self.device = VsockDevice(memory, cid=CID, host=self.host)
        self.host.on_connect = self.device.on_connect
        self.guest = Guest(self.device, memory)
        self.guest.start()
        self.buffers: dict[int, int] = {}
        self.offer(16)
        self.port = 1000

    def offer(self, count: int, length: int = 4096) -> None:
        with self.lock:
            queue = self.guest.queues[RECEIVE]
            for _ in range(count):
                address = queue.allocate(length)
                self.buffers[queue.offer([(address, length, True)])] = address
            self.guest.kick(RECEIVE)

    def send(self, op: int, port: int = 5, data: bytes = b"", **changes: Any) -> None:
        fields = {
            "src_cid": CID,
            "dst_cid": 2,
            "src_port": self.port,
            "dst_port": port,
            "length": len(data),
            "type": 1,
            "op": op,
            "flags": 0,
            "buf_alloc": ROOM,
            "fwd_cnt": 0,
        } | changes
        with self.lock:
            queue = self.guest.queues[TRANSMIT]
            if queue._buffers > queue._end - (1 << 18):
                queue._buffers = queue.used + 6 + 8 * queue.size + 15 & ~15
            self.guest.request(TRANSMIT, Packet(**fields).pack() + data, 0)

    def receive(self, seconds: float = 10) -> tuple[Packet, bytes]:
        """Wait for the next packet; its buffer is offered again."""
        deadline = time.monotonic() + seconds
        queue = self.guest.queues[RECEIVE]
        while time.monotonic() < deadline:
            with self.lock:
                used = queue.take()
                if used is not None:
                    address = self.buffers.pop(used.head)
                    content = self.guest.memory.read(d.Gpa(address), used.length)
                    self.buffers[queue.offer([(address, 4096, True)])] = address
                    self.guest.kick(RECEIVE)
                    packet = unpack(content[: HEADER.size])
                    assert packet is not None
                    assert (packet.src_cid, packet.dst_cid) == (2, CID)
                    assert packet.length == used.length - HEADER.size
                    return packet, content[HEADER.size :]
            time.sleep(0.002)
        raise TimeoutError("no packet came")

    def ops(self, count: int) -> list[int]:
        return [self.receive()[0].op for _ in range(count)]

    def listen(self, port: int) -> socket.socket:
        Path(f"{self.path}_{port}").unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{self.path}_{port}")
        listener.listen()
        listener.settimeout(10)
        return listener

    def connected(self, port: int = 5) -> socket.socket:
        """Let the guest connect to the host; return the host's end."""
        with self.listen(port) as listener:
            self.send(vs.OP_REQUEST, port)
            end, _ = listener.accept()
        end.settimeout(10)
        packet, _ = self.receive()
        assert (packet.op, packet.src_port, packet.dst_port) == (vs.OP_RESPONSE, port, self.port)
        assert packet.buf_alloc == BUFFER
        return end

    def close(self) -> None:
        self.events.close()
        self.host.close()
        self.device.close()


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[Sockets]:
    sockets = Sockets(tmp_path / "v")
    yield sockets
    sockets.close()


def test_the_guest_learns_its_address(sockets: Sockets) -> None:
    assert sockets.guest.read(d.DEVICE_ID) == 19
    assert sockets.guest.transport.read(d.CONFIG, 8) == CID


def test_the_guest_connects_and_talks(sockets: Sockets) -> None:
    with sockets.connected() as end:
        sockets.send(vs.OP_RW, data=b"hello")
        assert end.recv(100) == b"hello"
        end.send(b"hello yourself")
        packet, data = sockets.receive()
        assert (packet.op, packet.fwd_cnt, data) == (vs.OP_RW, 5, b"hello yourself")


def test_the_host_connects_and_talks(sockets: Sockets) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(10)
        end.connect(sockets.path)
        end.send(b"CONNECT 1000\nfirst")
        packet, _ = sockets.receive()
        assert (packet.op, packet.dst_port) == (vs.OP_REQUEST, 1000)
        sockets.send(vs.OP_RESPONSE, packet.src_port)
        assert end.recv(100) == b"OK %d\n" % packet.src_port
        assert sockets.receive()[1] == b"first"
        sockets.send(vs.OP_RW, packet.src_port, b"back")
        assert end.recv(100) == b"back"


def test_the_guest_may_refuse(sockets: Sockets) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(10)
        end.connect(sockets.path)
        end.send(b"CONNECT 1000\n")
        sockets.send(vs.OP_RST, sockets.receive()[0].src_port)
        assert end.recv(100) == b""


@pytest.mark.parametrize(
    "greeting", [b"HELLO\n", b"CONNECT\n", b"CONNECT x\n", b"CONNECT 4294967296\n", b"x" * 64]
)
def test_other_greetings_are_not_answered(sockets: Sockets, greeting: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(10)
        end.connect(sockets.path)
        end.send(greeting)
        try:
            assert end.recv(100) == b""
        except ConnectionResetError:
            pass  # what was sent had not been read


def test_nobody_listening_is_a_reset(sockets: Sockets) -> None:
    sockets.send(vs.OP_REQUEST, 6)
    assert sockets.ops(1) == [vs.OP_RST]


@pytest.mark.parametrize(
    "changes", [{"type": 2}, {"op": vs.OP_RW}, {"op": vs.OP_RESPONSE}, {"op": 99}, {"op": 0}]
)
def test_packets_that_belong_nowhere_are_reset(sockets: Sockets, changes: dict[str, int]) -> None:
    sockets.send(**{"op": vs.OP_REQUEST} | changes)
    assert sockets.ops(1) == [vs.OP_RST]


@pytest.mark.parametrize("changes", [{"src_cid": 8}, {"dst_cid": 3}, {"op": vs.OP_RST}])
def test_packets_with_other_addresses_are_dropped(
    sockets: Sockets, changes: dict[str, int]
) -> None:
    sockets.send(**{"op": vs.OP_REQUEST} | changes)
    with pytest.raises(TimeoutError):
        sockets.receive(0.05)


def test_no_more_is_sent_than_the_guest_has_room_for(sockets: Sockets) -> None:
    with sockets.connected() as end:
        sockets.send(vs.OP_CREDIT_UPDATE, buf_alloc=100)
        end.send(bytes(range(250)))
        assert sockets.receive()[1] == bytes(range(100))
        with pytest.raises(TimeoutError):
            sockets.receive(0.05)
        sockets.send(vs.OP_CREDIT_UPDATE, buf_alloc=100, fwd_cnt=60)
        assert sockets.receive()[1] == bytes(range(100, 160))
        sockets.send(vs.OP_CREDIT_UPDATE, buf_alloc=1000, fwd_cnt=160)
        assert sockets.receive()[1] == bytes(range(160, 250))


def test_the_guest_hears_of_its_credit(sockets: Sockets) -> None:
    with sockets.connected() as end:
        sockets.send(vs.OP_CREDIT_REQUEST)
        packet, _ = sockets.receive()
        assert (packet.op, packet.fwd_cnt) == (vs.OP_CREDIT_UPDATE, 0)
        sent = os.urandom(BUFFER)
        got = bytearray()
        reader = threading.Thread(target=lambda: got.extend(read_all(end, 2 * BUFFER)))
        reader.start()
        told = 0
        for start in range(0, 2 * BUFFER, 16384):
            while start + 16384 - told > BUFFER:
                told = sockets.receive()[0].fwd_cnt
            sockets.send(vs.OP_RW, data=(sent * 2)[start : start + 16384])
        reader.join()
        assert got == sent * 2


def read_all(end: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length and (part := end.recv(1 << 20)):
        data += part
    return bytes(data)


def test_a_guest_that_ignores_its_credit_is_cut_off(sockets: Sockets) -> None:
    with sockets.connected():
        data = bytes(32768)
        for _ in range(100):
            sockets.send(vs.OP_RW, data=data)
            if not sockets.device._connections:
                break
        assert vs.OP_RST in [sockets.receive()[0].op for _ in range(2)]
        assert not sockets.device._connections


def test_the_guest_closes(sockets: Sockets) -> None:
    with sockets.connected() as end:
        sockets.send(vs.OP_RW, data=b"last words")
        sockets.send(vs.OP_SHUTDOWN, flags=vs.NO_SEND)
        assert end.recv(100) + end.recv(100) == b"last words"
        end.send(b"still heard")
        assert sockets.receive()[1] == b"still heard"
        sockets.send(vs.OP_SHUTDOWN, flags=vs.NO_SEND | vs.NO_RECEIVE)
        assert sockets.ops(1) == [vs.OP_RST]
        assert not sockets.device._connections


def test_the_host_closes(sockets: Sockets) -> None:
    sockets.connected().close()
    packet, _ = sockets.receive()
    assert (packet.op, packet.flags) == (vs.OP_SHUTDOWN, vs.NO_SEND)
    sockets.send(vs.OP_RW, data=b"too late")
    assert sockets.ops(1) == [vs.OP_RST]


def test_connections_are_bounded(sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vsock, "MAX_CONNECTIONS", 3)
    ends = []
    for _ in range(3):
        sockets.port += 1
        ends.append(sockets.connected())
    sockets.port += 1
    sockets.send(vs.OP_REQUEST)
    assert sockets.ops(1) == [vs.OP_RST]
    for end in ends:
        end.close()


def test_replies_wait_for_buffers_and_are_bounded(sockets: Sockets) -> None:
    with sockets.lock:
        queue = sockets.guest.queues[TRANSMIT]
        packet = Packet(CID, 2, 1, 2, 0, 1, vs.OP_RW, 0, 0, 0).pack()
        address = queue.allocate(len(packet), packet)
        for _ in range(5):
            for _ in range(len(queue._free)):
                queue.offer([(address, len(packet), False)])
            sockets.guest.kick(TRANSMIT)
            while queue.take():
                pass
        assert len(sockets.device._replies) <= vsock.MAX_REPLIES
    total = 5 * 128 - sum(len(chain) for chain in queue._chains.values())
    assert sockets.ops(total // 2) == [vs.OP_RST] * (total // 2)


def test_packets_without_pause_leave_the_bus_to_others(sockets: Sockets) -> None:
    with sockets.lock:
        queue, driver = sockets.device.queues[TRANSMIT], sockets.guest.queues[TRANSMIT]
        packet = Packet(CID + 1, 2, 1, 2, 0, 1, vs.OP_RW, 0, 0, 0).pack()
        buffers = [(driver.allocate(len(packet), packet), len(packet), False)]
        pushes = 0
        push = queue.push

        def push_and_offer_again(chain: Chain, written: int) -> None:
            # What a driver on another processor may do meanwhile.
            nonlocal pushes
            push(chain, written)
            driver.take()
            driver.offer(buffers)
            pushes += 1

        queue.push = push_and_offer_again  # type: ignore[method-assign]
        driver.offer(buffers)
        sockets.guest.kick(RECEIVE)
        assert pushes == queue.size
        queue.push = push  # type: ignore[method-assign]
        sockets.guest.clock.advance(PAUSE_NS)
        assert driver.take() is not None


def test_reset_closes_the_hosts_ends(sockets: Sockets) -> None:
    with sockets.connected() as end:
        with sockets.lock:
            sockets.guest.write(d.STATUS, 0)
        assert end.recv(1) == b""


def test_a_restored_guest_hears_that_its_connections_are_gone(sockets: Sockets) -> None:
    with sockets.connected():
        event = sockets.guest.queues[EVENT]
        address = event.allocate(8, b"\xff" * 8)
        event.offer([(address, 8, True)])
        with sockets.lock:
            sockets.guest.kick(EVENT)
            state = sockets.guest.transport.save()
            assert event.take() is None
            sockets.guest.transport.load(state)
        used = event.take()
        assert used is not None
        assert used.length == 4
        assert sockets.guest.memory.read(d.Gpa(address), 4) == bytes(4)
        assert sockets.guest.irq.level


def test_a_path_in_use_is_a_users_error(sockets: Sockets) -> None:
    with pytest.raises(UsageError, match="another process listens there"):
        VsockHost(sockets.path, sockets.events)


def test_the_socket_goes_with_the_machine(tmp_path: Path) -> None:
    Sockets(tmp_path / "gone").close()
    assert list(tmp_path.iterdir()) == []
