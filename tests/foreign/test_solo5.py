"""Solo5 unikernels boot, use their devices by name, and end, on every backend."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from tests.foreign import solo5
from tests.foreign.solo5 import BLOCK, BLOCK_READ, BLOCK_WRITE, NETWORK, WALLTIME
from vmm.errors import UsageError
from vmm.images.recognise import open_image
from vmm.machine.machine import Machine

BOOT_INFO = 0x1_0000


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "unikernel.hvt"


def test_boot_information(image: Path, arch: str, backend: str) -> None:
    image.write_bytes(solo5.unikernel(arch, [solo5.puts(0, b"here\n"), solo5.halt(7)]))
    with Machine(image, ["two"], backend=backend, cmdline="one", memory="4M") as machine:
        assert machine.run(timeout=20) == 7
        assert machine.console.output == b"here\n"
        memory = machine.memory
        assert memory.read_u64(solo5.DATA) == BOOT_INFO
        size, end, frequency, line, manifest, host, guest, ring = struct.unpack(
            "<5QIIQ", memory.read(BOOT_INFO, 56)
        )
        assert size == 4 << 20
        assert end == solo5.place(2)
        assert frequency > 1_000_000
        assert memory.read(line, 8) == b"one two\0"
        assert memory.read_u32(manifest) == 1
        assert (host, guest, ring) == (0, 0, 0)


def test_disks_by_name(image: Path, arch: str, backend: str, tmp_path: Path) -> None:
    disk = tmp_path / "content"
    disk.write_bytes(b"a" * 512 + b"b" * 512)
    calls = [
        solo5.transfer(BLOCK_READ, 0, 1, 512, bytes(512)),
        solo5.transfer(BLOCK_WRITE, 1, 1, 0, b"c" * 512),
        solo5.transfer(BLOCK_READ, 2, 1, 1024, bytes(512)),  # behind the end
        solo5.transfer(BLOCK_READ, 3, 2, 0, bytes(512)),  # no such handle
        solo5.halt(0),
    ]
    image.write_bytes(solo5.unikernel(arch, calls, ("storage", BLOCK)))
    with Machine(image, backend=backend, disks=[f"storage={disk}"]) as machine:
        assert machine.run(timeout=20) == 0
        memory = machine.memory
        results = [memory.read_u32(solo5.place(index) + 32) for index in range(4)]
        assert results == [0, 0, 2, 2]
        assert memory.read(solo5.place(0) + 0x100, 512) == b"b" * 512
        # What the unikernel is told: capacity, block size, attached.
        manifest = memory.read_u64(BOOT_INFO + 32)
        assert memory.read_u64(manifest + 8 + 104 + 72) == 1024
        assert memory.read_u16(manifest + 8 + 104 + 80) == 512
        assert memory.read(manifest + 8 + 104 + 96, 1) == b"\1"
    assert disk.read_bytes() == b"c" * 512 + b"b" * 512


def test_time_passes_in_a_poll(image: Path, arch: str, backend: str) -> None:
    calls = [(WALLTIME, b""), solo5.poll(30_000_000), (WALLTIME, b""), solo5.halt(0)]
    image.write_bytes(solo5.unikernel(arch, calls))
    with Machine(image, backend=backend) as machine:
        before = time.time_ns()
        assert machine.run(timeout=20) == 0
        first, last = (machine.memory.read_u64(solo5.place(index)) for index in (0, 2))
        assert before <= first <= last - 30_000_000
        assert machine.memory.read_u64(solo5.place(1) + 8) == 0
        assert machine.memory.read_u32(solo5.place(1) + 16) == 0


def test_an_abort_shows_its_trap_frame(image: Path, arch: str, backend: str) -> None:
    frame = struct.pack("<7Q", 0x1234, 2, solo5.BASE + 4, 8, 2, 0x20_0000, 16)
    cookie = (WALLTIME, bytes(8) + frame)
    calls = [cookie, solo5.halt(255, solo5.place(0) + 8)]
    image.write_bytes(solo5.unikernel(arch, calls))
    with Machine(image, backend=backend) as machine:
        assert machine.run(timeout=20) == 255
        report = machine.crash_report()
        assert report.startswith("the guest aborted: at 0x100004")
        assert "error 0x2, cr2 0x1234" in report.splitlines()[0]


def test_a_stop_ends_a_poll(image: Path, arch: str, backend: str) -> None:
    image.write_bytes(solo5.unikernel(arch, [solo5.puts(0, b"up"), solo5.poll(1 << 60)]))
    with Machine(image, backend=backend) as machine:
        machine.start()
        machine.console.expect(rb"up", timeout=20)
        machine.stop(3)
        assert machine.wait(timeout=20) == 3


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ((9, b""), "hypercall 9 does not exist"),
        ((solo5.PUTS, struct.pack("<QQ", 1 << 40, 5)), "is not inside RAM"),
        (solo5.halt(0, cookie=1 << 40), "is not inside RAM"),
    ],
)
def test_calls_that_cannot_be(image: Path, call: tuple[int, bytes], complaint: str) -> None:
    # The register of call 9 is not there: the write goes nowhere, and the unikernel runs on.
    calls = [call, solo5.halt(1)]
    image.write_bytes(solo5.unikernel("x86_64", calls))
    with Machine(image, backend="unicorn") as machine:
        status = machine.run(timeout=20)
        if call[0] == 9:
            assert status == 1
            assert machine.bus.unclaimed == {("pio", 0x509): 1}
        else:
            assert status == 126
            assert machine.outcome is not None
            assert complaint in machine.outcome.message


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "asks for the block device 'storage': give it one with --disk storage=FILE"),
        ({"disks": ["other=FILE"]}, "asks for no block device 'other', but for: storage"),
        ({"disks": ["FILE"]}, "write --disk NAME=FILE"),
        ({"disks": ["storage=FILE,block-size=100"]}, "a block size is a power of two"),
        ({"disks": ["storage=FILE,block-size=4096"]}, "not whole blocks of 4096"),
        ({"disks": ["storage=/nonexistent"]}, "No such file"),
        ({"disks": ["storage=FILE", "storage=FILE"]}, "has been given one"),
        ({"disks": ["storage=FILE"]}, "asks for the network device 'net'"),
        ({"devices": ["rng"]}, "has --disk and --net only"),
        ({"board": "gic=3"}, "has no options"),
        ({"memory": "4G"}, "3072 MiB of RAM at most"),
        ({"initrd": "FILE"}, "takes no --initrd"),
        ({"cpus": 2}, "runs on one vCPU"),
    ],
)
def test_wrong_usage_is_told_before_boot(
    image: Path, tmp_path: Path, given: dict[str, object], complaint: str
) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512))
    devices = [] if given.keys() & {"initrd", "cpus"} else [("storage", BLOCK), ("net", NETWORK)]
    image.write_bytes(solo5.unikernel("arm64", [solo5.halt(0)], *devices))
    options = {
        name: [text.replace("FILE", str(disk)) for text in words]
        if isinstance(words, list)
        else str(disk)
        if words == "FILE"
        else words
        for name, words in given.items()
    }
    with pytest.raises(UsageError) as problem:
        Machine(image, backend="unicorn", **options)  # type: ignore[arg-type]
    assert complaint in str(problem.value).replace(str(disk), "FILE")


def test_inspection_shows_the_manifest(image: Path) -> None:
    image.write_bytes(solo5.unikernel("arm64", [], ("storage", BLOCK), ("net", NETWORK)))
    with open_image(str(image)) as opened:
        facts = opened.describe()
    assert facts["kind"] == "solo5-unikernel"
    assert facts["abi"] == "hvt 2"
    assert facts["interpreter"] == "/nonexistent/solo5/"
    assert facts["manifest"] == [
        {"name": "storage", "type": "block"},
        {"name": "net", "type": "network"},
    ]
