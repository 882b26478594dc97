"""Linux finds and uses our virtio devices: a driver that nobody here wrote."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path

import pytest

from scripts import inputs
from scripts.debian import DebianError
from tests.foreign.linux import initrd
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
]

SCRIPT = """
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
cat /sys/class/net/eth0/address
ifconfig eth0 198.51.100.2 netmask 255.255.255.252 up
ping -c 2 -W 5 198.51.100.1
"""


@pytest.fixture
def tap() -> str:
    """An interface with an address of TEST-NET-2 (RFC 5737), or "" where none can be made.

    The host's own network must never be touched: where it uses that very network, there is none.
    """
    if "198.51.100." in Path("/proc/net/fib_trie").read_text():
        return ""
    name = f"vmmlinux{os.getpid() % 1_000_000}"
    try:
        os.close(open_tap(name))
    except UsageError:
        return ""
    return f"tap={name},mac=02:00:00:c0:ff:ee,address=198.51.100.1/30"


@pytest.fixture
def kernel() -> Path:
    try:
        return inputs.linux("arm64")
    except DebianError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("arch", ["arm64"])
def test_linux_drives_our_devices(
    arch: str, busybox: Path, kernel: Path, tmp_path: Path, tap: str
) -> None:
    ramdisk = tmp_path / "initrd"
    ramdisk.write_bytes(initrd(kernel, busybox, MODULES, SCRIPT))
    disk, other = tmp_path / "disk", tmp_path / "other"
    content = os.urandom(4 << 20)
    disk.write_bytes(content)
    other.write_bytes(bytes(1 << 20))
    with Machine(
        kernel,
        arch=arch,
        backend="unicorn",
        memory="256M",
        cmdline="panic=-1 quiet",
        initrd=ramdisk,
        disks=[f"{disk},serial=number one", f"{other},ro"],
        nets=[tap] if tap else [],
        devices=["rng", "console", "balloon"],
    ) as machine:
        console = machine.console
        console.expect(rb"virtio_rng.0\r?\n(4\d\d\d)\r?\n", timeout=120)
        console.expect(rb"size 8192 serial number one")
        console.expect(sha256(content).hexdigest().encode(), timeout=30)
        console.expect(b"discarded", timeout=30)
        console.expect(b"read-only", timeout=30)
        console.expect(b"on the console", timeout=30)
        before = os.fstat(machine.memory.fd).st_blocks
        machine.set_balloon(128 << 20)
        deadline = time.monotonic() + 60
        while os.fstat(machine.memory.fd).st_blocks > before - (4 << 20) // 512:
            assert time.monotonic() < deadline, "the balloon gives nothing back"
            time.sleep(0.05)
        machine.set_balloon(0)
        console.send(b"the host\n")
        console.expect(b"heard the host", timeout=30)
        if tap:
            console.expect(b"02:00:00:c0:ff:ee", timeout=30)
            console.expect(b"2 packets transmitted, 2 packets received", timeout=60)
        assert machine.run(timeout=60) == 0
    after = disk.read_bytes()
    assert after[1 << 16 : 17 << 16] == bytes(1 << 20)
    assert after[: 1 << 16] == content[: 1 << 16]
    assert after[3 << 20 :] == content[3 << 20 :]
    assert disk.stat().st_blocks * 512 <= 3 << 20
