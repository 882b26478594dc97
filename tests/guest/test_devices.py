"""Our own kernel drives the virtio devices: disk, console, balloon, random numbers, sockets."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.test_virtio import speak
from tests.guest.test_programs import build
from vmm import Machine
from vmm.devices.virtio.balloon import Balloon
from vmm.devices.virtio.chain import Chain
from vmm.devices.virtio.mmio import VirtioMmio

PROGRAMS = Path(__file__).parent / "devices"
VSOCK = Path(__file__).parents[1] / "foreign/vsock.c"

LETTERS = bytes(range(ord("a"), ord("z") + 1))
CONTENT = (LETTERS * 4096)[: 80 << 10]

# What Linux says of the same; a write to a read-only disk, where it lets one be opened.
EXPECTED = """\
ioctl(disk, BLKGETSIZE64, &size) = 0
ioctl(disk, BLKSSZGET, &sector) = 0
size 81920, sector 512, block device 1, minor 0
pread(disk, buffer, 10, 507) = 10
nopqrstuvw
pwrite(disk, "HELLO", 5, 510) = 5
pread(disk, buffer, 10, 507) = 10
nopHELLOvw
pread(disk, buffer, sizeof(buffer), 1000) = 70000
lseek(disk, 0, SEEK_END) = 81920
read(disk, buffer, 1) = 0
write(disk, "x", 1) = -1 No space left on device
lseek(disk, -3, SEEK_END) = 81917
write(disk, "abcdef", 6) = 3
fsync(disk) = 0
fsync(STDOUT_FILENO) = -1 Invalid argument
read(disk, buffer, 16) = 16
write(disk, "x", 1) = -1 Operation not permitted
open("/dev/vdc", O_RDONLY) = -1 No such file or directory
"""


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(CONTENT)
    return path


def transport(machine: Machine, index: int) -> VirtioMmio:
    """The registers of an attached device."""
    mapping = machine.bus.mmio.find(machine.board.places[index].base)
    assert mapping is not None
    assert isinstance(mapping.region, VirtioMmio)
    return mapping.region


def program(name: str, arch: str) -> Path:
    return build(PROGRAMS / name, arch, "static")


def test_disks(arch: str, backend: str, disk: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(4096))
    with Machine(
        program("disk.c", arch), backend=backend, disks=[str(disk), f"{other},ro"], stdin=b""
    ) as machine:
        assert machine.run(timeout=30) == 0
        assert machine.console.output.decode() == EXPECTED
    assert disk.read_bytes() == CONTENT[:510] + b"HELLO" + CONTENT[515:-3] + b"abc"
    assert other.read_bytes() == bytes(4096)


def test_threads_that_write_parts_of_the_same_sectors(
    arch: str, backend: str, tmp_path: Path
) -> None:
    """With a worker, a request takes a while, in which other threads run."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4096))
    with Machine(
        program("sectors.c", arch), backend=backend, disks=[f"{disk},worker"], stdin=b""
    ) as machine:
        assert machine.run(timeout=30) == 0
    assert disk.read_bytes() == (b"a" * 256 + b"b" * 256) * 8


def test_a_disk_that_needs_a_reset_gives_errors(arch: str, backend: str, disk: Path) -> None:
    with Machine(
        program("disk.c", arch), ["until it fails"], backend=backend, disks=[str(disk)], stdin=b""
    ) as machine:
        machine.console.expect(b"reading", timeout=30)
        with machine.bus.lock:
            transport(machine, 0).fail("broken by a test")
        assert machine.wait(timeout=30) == 5
        assert b"read: I/O error\nopen: No such device or address\n" in machine.console.output


def test_a_disk_that_reports_errors(disk: Path) -> None:
    """The host's file became shorter: what is missing cannot be read."""
    with Machine(
        program("disk.c", "x86_64"), ["x"], backend="unicorn", disks=[str(disk)], stdin=b""
    ) as machine:
        os.truncate(disk, 4096)
        # It can be opened again all the same: only what was asked for has failed.
        assert machine.run(timeout=30) == 1
        assert b"read: I/O error\n" in machine.console.output


def test_console(arch: str, backend: str) -> None:
    with Machine(program("console.c", arch), backend=backend, devices=["console"]) as machine:
        console = machine.console
        console.expect(rb"empty -1 1, poll 0", timeout=30)
        for text in (b"hello\n", b"x" * 200 + b"\n", b"end\n"):
            console.send(text)
            console.expect(b"poll 1 1: " + text.rstrip(), timeout=30)
        assert machine.wait(timeout=30) == 0


@pytest.mark.parametrize("ports", [[], ["log=file:/dev/null"]], ids=["one port", "two"])
def test_a_console_has_a_size(arch: str, backend: str, ports: list[str]) -> None:
    with Machine(
        program("console.c", arch), backend=backend, devices=["console"], ports=ports
    ) as machine:
        machine.set_console_size(132, 50)
        machine.console.expect(b"empty", timeout=30)
        for columns, rows in ((132, 50), (80, 25)):
            machine.set_console_size(columns, rows)
            machine.console.send(b"size\n")
            machine.console.expect(b"0: %dx%d\n" % (columns, rows), timeout=30)
        machine.console.send(b"end\n")
        assert machine.wait(timeout=30) == 0


def test_balloon(arch: str, backend: str) -> None:
    with Machine(
        program("console.c", arch), backend=backend, memory="32M", devices=["console", "balloon"]
    ) as machine:
        machine.console.expect(rb"empty -1 1, poll 0", timeout=30)
        balloon = transport(machine, 1).device
        assert isinstance(balloon, Balloon)
        for target in (10 << 20, 1 << 20, 3 << 20, 0):
            machine.set_balloon(target)
            deadline = time.monotonic() + 20
            while balloon.actual * 4096 != target:
                assert time.monotonic() < deadline, "the balloon does not change"
                time.sleep(0.005)
        # The guest does without what it needs itself for nobody.
        machine.set_balloon(1 << 30)
        machine.console.send(b"end\n")
        assert machine.wait(timeout=30) == 0


@pytest.mark.parametrize("devices", [["rng"], []])
def test_random_numbers_of_hardware(
    arch: str, backend: str, devices: list[str], busybox: Path
) -> None:
    words = ["dd", "if=/dev/hwrng", "bs=500", "count=2"]
    with Machine(busybox, words, backend=backend, devices=devices, stdin=b"") as machine:
        assert machine.run(timeout=30) == 0
        output = machine.console.output
    assert output.count(b"2+0 records") == 2
    assert len(set(output[:1000])) > 200


@pytest.mark.parametrize("head", [5, 64, 0xFFFF_FFFF])
def test_a_device_that_breaks_the_rules_gives_errors(
    arch: str, backend: str, head: int, busybox: Path
) -> None:
    """It gives back a buffer that it has not got."""
    words = ["dd", "if=/dev/hwrng", "bs=8", "count=1"]
    with Machine(busybox, words, backend=backend, devices=["rng"], stdin=b"") as machine:
        queue = transport(machine, 0).device.queues[0]
        give_back = queue.push

        def push(chain: Chain, written: int) -> None:
            chain.head = head
            give_back(chain, written)

        queue.push = push  # type: ignore[method-assign]
        assert machine.run(timeout=30) == 1
        assert b"Input/output error" in machine.console.output


@pytest.mark.parametrize("arch", ["x86_64"])
def test_a_device_that_claims_too_much_is_not_believed(arch: str, busybox: Path) -> None:
    words = ["dd", "if=/dev/hwrng", "bs=64", "count=1"]
    with Machine(busybox, words, backend="unicorn", devices=["rng"], stdin=b"") as machine:
        queue = transport(machine, 0).device.queues[0]
        give_back = queue.push
        queue.push = lambda chain, _: give_back(chain, 1 << 31)  # type: ignore[method-assign]
        assert machine.run(timeout=30) == 0
        assert machine.console.output.endswith(b"1+0 records in\n1+0 records out\n")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[socket.socket]:
    """What the guest reaches as port 1234 of the host."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "vsock_1234"))
        listener.listen()
        listener.settimeout(30)
        yield listener


def test_sockets(arch: str, backend: str, tmp_path: Path, host: socket.socket) -> None:
    with Machine(
        build(VSOCK, arch, "static"),
        ["1234", "5678"],
        backend=backend,
        vsocks=[f"3={tmp_path / 'vsock'}"],
        stdin=b"",
    ) as machine:
        machine.start()
        speak(machine.console, host, tmp_path)
        assert machine.wait(timeout=30) == 0


def test_sockets_with_much_data(
    arch: str, backend: str, tmp_path: Path, host: socket.socket
) -> None:
    """More than the buffers of either side hold, so that each has to wait for the other."""
    content = os.urandom(300_000)
    with Machine(
        program("echo.c", arch), backend=backend, vsocks=[f"3={tmp_path / 'vsock'}"], stdin=b""
    ) as machine:
        machine.start()
        connection, _ = host.accept()
        with connection:
            connection.settimeout(30)
            sender = threading.Thread(target=send, args=(connection, content))
            sender.start()
            with connection.makefile("rb") as answer:
                assert answer.read() == content
            sender.join()
        assert machine.wait(timeout=30) == 0
        assert machine.console.output == b"refused: Connection reset by peer\n"


def send(connection: socket.socket, content: bytes) -> None:
    connection.sendall(content)
    connection.shutdown(socket.SHUT_WR)
