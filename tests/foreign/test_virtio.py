"""Linux finds and uses our virtio devices: a driver that nobody here wrote."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts import inputs
from scripts.debian import DebianError
from tests.conftest import ON_KVM
from tests.foreign.linux import initrd
from tests.guest import test_console_ports
from tests.guest.test_programs import build
from vmm.arch import X86_64, host_arch
from vmm.backends.select import open_backend
from vmm.boards.options import PACKED
from vmm.console import Console
from vmm.devices.virtio.tap import open_tap
from vmm.errors import UsageError
from vmm.machine.machine import Machine

MODULES = [
    "virtio_mmio",
    "virtio-rng",
    "virtio_blk",
    "virtio_console",
    "virtio_net",
    "virtio_balloon",
    "9p",
    "9pnet_virtio",
    "vmw_vsock_virtio_transport",
]

# The 35th character of a device's features is VIRTIO_F_RING_PACKED.
SCRIPT = """
echo packed $(cut -c 35 /sys/bus/virtio/devices/*/features | sort -u)
cat /sys/class/misc/hw_random/rng_current
head -c 4096 /dev/hwrng | gzip | wc -c
echo size $(cat /sys/block/vda/size) serial $(cat /sys/block/vda/serial)
sha256sum < /dev/vda
dd if=/dev/zero of=/dev/vda bs=64k seek=1 count=16 conv=fsync 2>/dev/null
blkdiscard -o 2097152 -l 1048576 /dev/vda && echo discarded
dd if=/dev/zero of=/dev/vdb bs=4k count=1 conv=fsync 2>/dev/null || echo read-only
exec 3<>/dev/hvc0
echo on the console >&3
read line <&3 && echo heard $line
port=$(basename $(dirname $(grep -l -x control /sys/class/virtio-ports/*/name)))
/bin/port /dev/$port
mkdir /mnt
mount -t 9p -o trans=virtio,version=9p2000.L shared /mnt
cat /mnt/file && mkdir -p /mnt/a/b && mv /mnt/file /mnt/a/b/moved && echo more >> /mnt/a/b/moved
umount /mnt && echo unmounted
/bin/vsock 1234 5678
cat /sys/class/net/eth0/address
ifconfig eth0 198.51.100.2 netmask 255.255.255.252 up
ping -c 2 -W 5 198.51.100.1
"""

# The VMM gives the interface its address where it can, else the test does.
ADDRESS = ",address=198.51.100.1/30" if find_spec("pyroute2") else ""


@pytest.fixture
def tap() -> str:
    """An interface for addresses of TEST-NET-2 (RFC 5737), or "" where none can be made.

    The host's own network must never be touched: where it uses that very network, there is none.
    """
    if "198.51.100." in Path("/proc/net/fib_trie").read_text():
        return ""
    name = f"vmmlinux{os.getpid() % 1_000_000}"
    try:
        os.close(open_tap(name))
    except UsageError:
        return ""
    return name


@pytest.fixture
def kernel(arch: str) -> Path:
    try:
        return inputs.linux(arch, "generic")
    except DebianError as error:
        pytest.skip(str(error))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[socket.socket]:
    """What the guest reaches as port 1234 of the host."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "vsock_1234"))
        listener.listen()
        listener.settimeout(60)
        yield listener


def need_backend(arch: str, backend: str) -> None:
    """Skip the test where the backend is KVM, and this host has none for kernels of others."""
    if backend == "kvm" and arch != host_arch():
        pytest.skip(f"needs an {arch} host")
    hypervisor, reason = open_backend("auto" if backend == "kvm" else backend, arch)
    hypervisor.close()
    if hypervisor.name != backend:
        pytest.skip(f"this host's KVM is not one for kernels of others: {reason}")


def give_address(tap: str) -> None:
    address = ["198.51.100.1", "netmask", "255.255.255.252", "up"]
    command = [inputs.busybox(host_arch() or X86_64), "ifconfig", tap, *address]
    subprocess.run(command, check=True)


def use_disk(console: Console, content: bytes) -> None:
    console.expect(rb"size 8192 serial number one")
    console.expect(sha256(content).hexdigest().encode(), timeout=30)
    console.expect(b"discarded", timeout=30)
    console.expect(b"read-only", timeout=30)


def use_balloon(machine: Machine) -> None:
    """Take memory away, see that the host has it, give it back."""
    before = os.fstat(machine.memory.fd).st_blocks
    machine.set_balloon(128 << 20)
    deadline = time.monotonic() + 60
    while os.fstat(machine.memory.fd).st_blocks > before - (4 << 20) // 512:
        assert time.monotonic() < deadline, "the balloon gives nothing back"
        time.sleep(0.05)
    machine.set_balloon(0)


def use_ports(console: Console, path: Path) -> None:
    console.send(b"the host\n")
    console.expect(b"heard the host", timeout=30)
    before = len(console.output)
    test_console_ports.speak(console, path)
    transcript = console.output[before:].decode().replace("\r", "")
    assert test_console_ports.EXPECTED in transcript


def use_network(console: Console) -> None:
    console.expect(b"02:00:00:c0:ff:ee", timeout=30)
    console.expect(b"2 packets transmitted, 2 packets received", timeout=60)


def check_disk(disk: Path, content: bytes) -> None:
    """What the guest has discarded is zero, and takes no room; the rest is as it was."""
    after = disk.read_bytes()
    assert after[1 << 16 : 17 << 16] == bytes(1 << 20)
    assert after[: 1 << 16] == content[: 1 << 16]
    assert after[3 << 20 :] == content[3 << 20 :]
    assert disk.stat().st_blocks * 512 <= 3 << 20


@pytest.mark.parametrize("rings", ["split", PACKED])
@pytest.mark.parametrize(
    ("arch", "backend"), [("arm64", "unicorn"), pytest.param("x86_64", "kvm", marks=ON_KVM)]
)
def test_linux_drives_our_devices(
    arch: str,
    backend: str,
    rings: str,
    busybox: Path,
    kernel: Path,
    tmp_path: Path,
    tap: str,
    host: socket.socket,
) -> None:
    need_backend(arch, backend)
    vsock = build(Path(__file__).with_name("vsock.c"), arch, "static")
    port = build(test_console_ports.PROGRAM, arch, "static")
    ramdisk = tmp_path / "initrd"
    ramdisk.write_bytes(initrd(kernel, busybox, MODULES, SCRIPT, programs=[vsock, port]))
    disk, other, shared = tmp_path / "disk", tmp_path / "other", tmp_path / "shared"
    content = os.urandom(4 << 20)
    disk.write_bytes(content)
    other.write_bytes(bytes(1 << 20))
    shared.mkdir()
    (shared / "file").write_bytes(b"in the shared directory\n")
    with Machine(
        kernel,
        arch=arch,
        backend=backend,
        memory="256M",
        board=PACKED if rings == PACKED else "",
        cmdline="panic=-1 quiet",
        initrd=ramdisk,
        disks=[f"{disk},serial=number one", f"{other},ro"],
        nets=[f"tap={tap},mac=02:00:00:c0:ff:ee{ADDRESS}"] if tap else [],
        shares=[f"{shared}:shared:rw"],
        vsocks=[f"3={tmp_path / 'vsock'}"],
        ports=[f"other={tmp_path / 'other port'}", f"control={tmp_path / 'port'}"],
        devices=["rng", "console", "balloon"],
    ) as machine:
        if tap and not ADDRESS:
            give_address(tap)
        console = machine.console
        console.expect(rb"packed 1\r?\n" if rings == PACKED else rb"packed 0\r?\n", timeout=120)
        console.expect(rb"virtio_rng.0\r?\n(4\d\d\d)\r?\n", timeout=30)
        use_disk(console, content)
        console.expect(b"on the console", timeout=30)
        use_balloon(machine)
        use_ports(console, tmp_path / "port")
        console.expect(b"in the shared directory", timeout=30)
        console.expect(b"unmounted", timeout=30)
        speak(console, host, tmp_path)
        if tap:
            use_network(console)
        assert machine.run(timeout=60) == 0
        assert machine.outcome is not None
        assert machine.outcome.kind == "powered off"
    check_disk(disk, content)
    assert (shared / "a/b/moved").read_bytes() == b"in the shared directory\nmore\n"


def speak(console: Console, host: socket.socket, directory: Path) -> None:
    """Be the other side of what vsock.c does in a guest that has ``directory``/vsock."""
    connection, _ = host.accept()
    with connection:
        connection.settimeout(30)
        assert connection.makefile("rb").read() == b"from the guest\n"
        connection.sendall(b"and from the host\n")
    console.expect(b"and from the host", timeout=30)
    console.expect(b"listening", timeout=30)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(30)
        caller.connect(str(directory / "vsock"))
        caller.sendall(b"CONNECT 5678\n")
        with caller.makefile("rb") as answer:
            assert answer.readline().startswith(b"OK ")
            assert answer.readline() == b"welcome\n"
        caller.sendall(b"good bye\n")
    console.expect(b"good bye", timeout=30)
