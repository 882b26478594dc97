"""What virtio devices did is done again, with RAM and the host's answers as recorded."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.guest.test_devices import CONTENT, program, send, transport
from tests.guest.test_host_directories import FILES
from tests.guest.test_programs import ARGUMENTS, ENVIRONMENT, STDIN, build
from tests.vmm.trace.machines import MEMORY, BusGuest
from tests.vmm.trace.replays import departs, repeats
from vmm.boards.options import PACKED
from vmm.devices.virtio import net, tap
from vmm.devices.virtio.balloon import Balloon
from vmm.devices.virtio.block import Block
from vmm.devices.virtio.chain import Chain, copy_to
from vmm.devices.virtio.console.control import EVENT_DEVICE_READY, EVENT_PORT_READY, MESSAGE
from vmm.devices.virtio.console.device import (
    CONTROL_RECEIVE,
    CONTROL_TRANSMIT,
    RECEIVE,
    TRANSMIT,
    ConsoleDevice,
)
from vmm.devices.virtio.net import NetDevice
from vmm.devices.virtio.p9.device import P9Device
from vmm.devices.virtio.rng import Rng
from vmm.devices.virtio.vsock.device import Connection, VsockDevice
from vmm.machine.machine import Machine
from vmm.trace.listing import describe
from vmm.trace.reader import Trace
from vmm.trace.replay import Replay


def driven_machine(file: Path, **options: Any) -> Machine:
    """A machine whose device is driven by the tests' own driver."""
    trace = f"{file},replay"
    return Machine("hello", arch="arm64", backend="unicorn", memory=MEMORY, trace=trace, **options)


# ---- A disk ----


@pytest.fixture(scope="module")
def disk_trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    folder = tmp_path_factory.mktemp("disk")
    (folder / "disk").write_bytes(CONTENT)
    (folder / "other").write_bytes(bytes(4096))
    with Machine(
        program("disk.c", "arm64"),
        backend="unicorn",
        disks=[str(folder / "disk"), f"{folder / 'other'},ro"],
        stdin=b"",
        trace=f"{folder / 'trace'},replay",
    ) as machine:
        assert machine.run(timeout=30) == 0
    # The replay needs nothing of these.
    (folder / "disk").unlink()
    (folder / "other").unlink()
    return Trace(str(folder / "trace"))


def test_disks_repeat_themselves(disk_trace: Trace) -> None:
    repeats(disk_trace, "virtio0", "virtio1")


class RoundedBlock(Block):
    """Writes to even sectors only."""

    def _write(self, sector: int, chain: Chain) -> int:
        return super()._write(sector & ~1, chain)


class ForgetfulBlock(Block):
    """Claims to have filled less than it has."""

    def _answer(self, chain: Chain) -> int:
        return max(super()._answer(chain) - 1, 0)


class SilentBlock(Block):
    """Does not interrupt."""

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        for chain in queue:
            queue.push(chain, self._answer(chain))


class BrokenBlock(Block):
    def _answer(self, chain: Chain) -> int:
        return chain.head // 0


def test_a_wrong_call_of_the_host_is_found(disk_trace: Trace) -> None:
    step, recorded, replayed = departs(disk_trace, "virtio0", RoundedBlock)
    assert step == ".QueueNotify W 0x0"
    assert recorded.startswith(" calls disk.write(")
    assert recorded.endswith("512 bytes, 81408)")
    assert replayed.endswith("512 bytes, 80896)")


def test_a_wrong_word_in_ram_is_found(disk_trace: Trace) -> None:
    difference = Replay(disk_trace, "virtio0", kind=ForgetfulBlock).run().difference
    assert difference is not None
    # It is in the first request that succeeds, which reads two sectors.
    requests = [r for r in disk_trace.records if r["kind"] == "request" and r["written"] > 1]
    assert requests[0]["summary"].startswith("IN 2 sectors")
    assert difference.during["n"] < requests[0]["n"]
    assert difference.recorded is not None
    assert requests[0]["n"] < difference.recorded["n"]
    assert difference.recorded["kind"] == "dma"


def test_a_missing_interrupt_is_found(disk_trace: Trace) -> None:
    difference = Replay(disk_trace, "virtio0", kind=SilentBlock).run().difference
    assert difference is not None
    # It does not look whether the driver wants one.
    assert difference.during["register"] in ("Status", "QueueNotify")
    assert difference.recorded is not None
    assert difference.recorded["op"] == "read"


def test_an_exception_is_found(disk_trace: Trace) -> None:
    _, _, replayed = departs(disk_trace, "virtio0", BrokenBlock)
    assert replayed == " raises ZeroDivisionError: integer division or modulo by zero"


# ---- Console, balloon, random numbers ----


@pytest.fixture(scope="module")
def plain_trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    file = tmp_path_factory.mktemp("plain") / "trace"
    with Machine(
        program("console.c", "x86_64"),
        backend="unicorn",
        memory="32M",
        devices=["console", "balloon"],
        trace=f"{file},replay",
    ) as machine:
        console = machine.console
        console.expect(rb"empty -1 1, poll 0", timeout=30)
        for text in (b"hello\n", b"x" * 200 + b"\n"):
            console.send(text)
            console.expect(b"poll 1 1: " + text.rstrip(), timeout=30)
        balloon = transport(machine, 1).device
        assert isinstance(balloon, Balloon)
        for target in (5 << 20, 1 << 20):
            machine.set_balloon(target)
            deadline = time.monotonic() + 20
            while balloon.actual * 4096 != target:
                assert time.monotonic() < deadline, "the balloon does not change"
                time.sleep(0.005)
        console.send(b"end\n")
        assert machine.wait(timeout=30) == 0
    return Trace(str(file))


class BlankConsole(ConsoleDevice):
    """Shows nothing of what the guest writes."""

    def _transfer(self, number: int, index: int) -> None:
        super()._transfer(number, index if index != TRANSMIT else RECEIVE)


class LeakyBalloon(Balloon):
    """Keeps the first page of each request."""

    def _release(self, numbers: bytes) -> None:
        super()._release(numbers[4:])


def test_plain_devices_repeat_themselves(plain_trace: Trace) -> None:
    repeats(plain_trace, "virtio0", "virtio1")


def test_bugs_in_plain_devices_are_found(plain_trace: Trace) -> None:
    step, _, _ = departs(plain_trace, "virtio0", BlankConsole)
    assert step == ".Status W 0xf ACKNOWLEDGE=1 DRIVER=1 DRIVER_OK=1 FEATURES_OK=1"
    step, recorded, replayed = departs(plain_trace, "virtio1", LeakyBalloon)
    assert step == ".QueueNotify W 0x0"
    assert "dma discard" in recorded
    assert "dma discard" in replayed


def test_a_named_port_repeats_itself(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    with driven_machine(file, ports=[f"log=file:{tmp_path / 'log'}"]) as machine:
        guest = BusGuest(machine)
        guest.start()
        receive, transmit = guest.queues[CONTROL_RECEIVE], guest.queues[CONTROL_TRANSMIT]
        for _ in range(4):
            receive.offer([(receive.allocate(64), 64, True)])
        for message in ((0, EVENT_DEVICE_READY, 1), (1, EVENT_PORT_READY, 1), (1, 6, 1)):
            content = MESSAGE.pack(*message)
            transmit.offer([(transmit.allocate(8, content), 8, False)])
            guest.kick(CONTROL_TRANSMIT)
        log = guest.queues[-1]
        log.offer([(log.allocate(6, b"hello\n"), 6, False)])
        guest.kick(len(guest.queues) - 1)
    assert (tmp_path / "log").read_bytes() == b"hello\n"
    trace = Trace(str(file))
    repeats(trace, "virtio0")
    [sent] = [r for r in trace.records if r["kind"] == "call" and r.get("method") == "send"]
    assert describe(sent) == "virtio0 calls ports[1].end.send(b'hello\\n') = 6"


# ---- Random numbers ----


class StingyRng(Rng):
    """Asks for half of what there is room for."""

    def __init__(self, memory: object, *, source: object) -> None:
        super().__init__(memory, source=lambda n: source(n // 2))  # type: ignore[arg-type, operator]


# Boards whose devices have split, and packed virtqueues.
BOARDS = ("", PACKED)


@pytest.mark.parametrize("board", BOARDS)
def test_random_numbers_are_drawn_again(tmp_path: Path, board: str) -> None:
    file = tmp_path / "trace"
    with driven_machine(file, devices=["rng"], board=board) as machine:
        guest = BusGuest(machine)
        guest.start()
        assert len(set(guest.request(0, b"", 500)[0])) > 100
        guest.request(0, b"", 70, indirect=True)
        guest.acknowledge()
    trace = Trace(str(file))
    repeats(trace, "virtio0")
    step, recorded, replayed = departs(trace, "virtio0", StingyRng)
    assert step == ".QueueNotify W 0x0"
    assert recorded.startswith(" calls source(500) = ")
    assert replayed == " calls source(250)"


# ---- Sockets ----


@pytest.fixture(scope="module")
def vsock_trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    folder = tmp_path_factory.mktemp("vsock")
    content = os.urandom(100_000)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "vsock_1234"))
        listener.listen()
        listener.settimeout(30)
        with Machine(
            program("echo.c", "x86_64"),
            backend="unicorn",
            vsocks=[f"3={folder / 'vsock'}"],
            stdin=b"",
            trace=f"{folder / 'trace'},replay",
        ) as machine:
            machine.start()
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as answer:
                connection.settimeout(30)
                sender = threading.Thread(target=send, args=(connection, content))
                sender.start()
                assert answer.read() == content
                sender.join()
            assert machine.wait(timeout=30) == 0
    return Trace(str(folder / "trace"))


class GenerousVsock(VsockDevice):
    """Never tells the guest how much was forwarded."""

    def _packet(self, connection: Connection, op: int, flags: int, length: int) -> bytes:
        connection.forwarded = 0
        return super()._packet(connection, op, flags, length)


def test_sockets_repeat_themselves(vsock_trace: Trace) -> None:
    repeats(vsock_trace, "virtio0")
    # Events of the host's sockets are among what is done again.
    assert any("callback" in record for record in vsock_trace.records)


def test_a_bug_in_sockets_is_found(vsock_trace: Trace) -> None:
    _, recorded, replayed = departs(vsock_trace, "virtio0", GenerousVsock)
    assert recorded.startswith(" dma W")
    assert replayed.startswith(" dma W")


# ---- A shared directory ----


@pytest.fixture(scope="module")
def share_trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Of a program that does to its root directory all that can be done to one."""
    folder = tmp_path_factory.mktemp("share")
    root = folder / "root"
    root.mkdir()
    shutil.copy(build(FILES, "x86_64", "static"), root / "program")
    with Machine(
        "/program",
        ARGUMENTS,
        root=f"{root}:rw",
        backend="unicorn",
        env=ENVIRONMENT,
        stdin=STDIN,
        trace=f"{folder / 'trace'},replay",
    ) as machine:
        machine.run(timeout=60)
    shutil.rmtree(root)
    return Trace(str(folder / "trace"))


class ShortP9(P9Device):
    """Reads a byte less than it is asked for."""

    def _read(self, tag: int, chain: Chain) -> int:
        chain.writable.take_last(1)
        return super()._read(tag, chain)


def test_a_directory_repeats_itself(share_trace: Trace) -> None:
    repeats(share_trace, "virtio0")
    step, recorded, replayed = departs(share_trace, "virtio0", ShortP9)
    assert step == ".QueueNotify W 0x0"
    assert re.match(r" calls #\d+\.read\(room for (\d+), 0\) -> ", recorded)
    assert re.match(r" calls #\d+\.read\(room for (\d+), 0\)$", replayed)


# ---- A network ----


class Hub:
    """A network on which every frame comes back, and one is there already."""

    offloads = net.OFFLOADS
    on_frame = None

    def __init__(self, name: str, events: object) -> None:
        self._frames = [bytes(net.HEADER_SIZE) + b"first"]

    def send(self, frame: list[memoryview]) -> None:
        self._frames.append(b"".join(frame))

    def receive(self, room: list[memoryview]) -> int:
        return copy_to(room, self._frames.pop(0)) if self._frames else 0

    def set_offloads(self, features: int) -> None:
        pass

    def wait(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(params=BOARDS)
def net_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Trace:
    file = tmp_path / "trace"
    monkeypatch.setattr(tap, "Tap", Hub)
    with driven_machine(file, nets=["tap=hub"], board=request.param) as machine:
        guest = BusGuest(machine)
        guest.start()
        receive, transmit = guest.queues
        for length in (9, 300, 300):
            receive.offer([(receive.allocate(length), length, True)])
        guest.kick(0)
        frame = bytes(net.HEADER_SIZE) + bytes(range(200))
        transmit.offer([(transmit.allocate(len(frame), frame), len(frame), False)])
        guest.kick(1)
        with machine.bus.lock:
            transport(machine, 0).device.on_frame()  # type: ignore[attr-defined]
        assert receive.used_index == 3
        transmit.take()
        # Both rings come around.
        while receive.take():
            pass
        for _ in range(300):
            receive.offer([(receive.allocate(400), 400, True)])
            transmit.offer(
                [(transmit.allocate(len(frame), frame), len(frame), False)], indirect=True
            )
            guest.kick(1)
            with machine.bus.lock:
                transport(machine, 0).device.on_frame()  # type: ignore[attr-defined]
            assert transmit.take() is not None
            assert receive.take() is not None
        guest.acknowledge()
    return Trace(str(file))


class SplittingNet(NetDevice):
    """Forgets that a frame may be in several buffers."""

    def _give_back(self, room: list[memoryview], length: int) -> None:
        super()._give_back(room, min(length, len(room[0])))


def test_a_network_repeats_itself(net_trace: Trace) -> None:
    repeats(net_trace, "virtio0")


def test_a_bug_in_a_network_is_found(net_trace: Trace) -> None:
    step, recorded, replayed = departs(net_trace, "virtio0", SplittingNet)
    assert step == ".QueueNotify W 0x0"
    assert " dma W " in recorded
    assert " dma W " in replayed
