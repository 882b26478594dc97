"""What ``vmm run`` tells about a machine before it starts."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.foreign import solo5
from tests.foreign.images import fixed_elf, linux_elf
from tests.vmm.boot.fdt_reader import read_fdt
from tests.vmm.cli.test_run import vmm
from tests.vmm.machine.kernels import SPIN


@pytest.fixture
def kernel(tmp_path: Path, arch: str) -> Path:
    path = tmp_path / "kernel"
    path.write_bytes({"x86_64": linux_elf, "arm64": fixed_elf}[arch](SPIN[arch]))
    return path


def test_a_dry_run_shows_memory_devices_and_start(kernel: Path, arch: str) -> None:
    done = vmm("run", "--dry-run", "--backend", "unicorn", "--memory", "16M", str(kernel))
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    headings = [line for line in lines if not line.startswith(" ")]
    assert headings == ["memory:", "devices:", "start:"]
    rows = [tuple(line.split(maxsplit=1)) for line in lines if line.startswith(" ")]
    if arch == "x86_64":
        assert ("0x0000000000..0x0001000000", "RAM") in rows
        assert ("0x0000100000..0x0000101002", "segment with p_paddr 0x100000") in rows
        assert ("pio", "0x00000003f8..0x0000000400  com1") in rows
        assert ("rip", "0x100000") in rows
    else:
        assert ("0x0040000000..0x0041000000", "RAM") in rows
        assert ("mmio", "0x0009000000..0x0009001000  pl011") in rows
        assert ("pc", "0x40100000") in rows


@pytest.mark.parametrize("arch", ["arm64"])
def test_the_device_tree_is_dumped_as_the_guest_gets_it(kernel: Path, tmp_path: Path) -> None:
    words = ["--dry-run", "--backend", "unicorn", "--memory", "16M"]
    done = vmm("run", *words, "--dump-dtb", str(tmp_path / "dtb"), str(kernel), "a", "b")
    assert done.returncode == 0
    tree = read_fdt((tmp_path / "dtb").read_bytes())
    assert tree.root.find("/chosen").strings("bootargs") == ["a b"]


@pytest.mark.parametrize("arch", ["x86_64"])
def test_a_pc_has_no_device_tree(kernel: Path, tmp_path: Path) -> None:
    done = vmm("run", "--quiet", "--dump-dtb", str(tmp_path / "dtb"), str(kernel))
    assert done.returncode == 2
    assert done.stderr == b"vmm: there is no device tree in this machine\n"


def test_boot_information_is_dumped_as_the_guest_gets_it(arch: str, tmp_path: Path) -> None:
    image = tmp_path / "unikernel"
    image.write_bytes(solo5.unikernel(arch, [solo5.halt(0)]))
    words = ["--dry-run", "--backend", "unicorn", "--memory", "16M"]
    done = vmm("run", *words, "--dump-bootinfo", str(tmp_path / "info"), str(image), "a", "b")
    assert done.returncode == 0
    content = (tmp_path / "info").read_bytes()
    size, _, _, line = struct.unpack_from("<4Q", content)
    assert size == 16 << 20
    assert content[line - 0x1_0000 :].startswith(b"a b\0")


@pytest.mark.parametrize("arch", ["arm64"])
def test_some_guests_have_a_device_tree_alone(kernel: Path, tmp_path: Path) -> None:
    done = vmm("run", "--quiet", "--dump-bootinfo", str(tmp_path / "info"), str(kernel))
    assert done.returncode == 2
    assert b"is told by its device tree alone" in done.stderr


def test_verbose_runs_behave_as_others(kernel: Path) -> None:
    words = ["--verbose", "--backend", "unicorn", "--timeout", "0.3"]
    done = vmm("run", *words, str(kernel))
    assert done.returncode == 124
    assert done.stdout == b""
    assert b"vmm: memory:\n" in done.stderr
