"""Debian's own kernels boot to a busybox shell on the Unicorn backend, and end as they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import inputs
from scripts.debian import DebianError
from tests.guest.tree import directory, make_archive, regular, symlink
from vmm.machine.machine import Machine


@pytest.fixture
def kernel(arch: str) -> Path:
    try:
        return inputs.linux(arch)
    except DebianError as error:
        pytest.skip(str(error))


@pytest.fixture
def initrd(busybox: Path, tmp_path: Path) -> Path:
    path = tmp_path / "initrd"
    path.write_bytes(
        make_archive(
            [
                directory("bin"),
                regular("bin/busybox", busybox.read_bytes(), 0o755),
                symlink("bin/sh", "busybox"),
                directory("dev"),
                directory("proc"),
            ]
        )
    )
    return path


def test_debian_boots_to_a_shell(kernel: Path, initrd: Path, arch: str) -> None:
    with Machine(
        kernel, backend="unicorn", memory="256M", initrd=initrd, cmdline="rdinit=/bin/sh quiet"
    ) as machine:
        # The emulated processor unpacks the kernel of x86_64, which takes most of the time.
        machine.console.expect(rb"# ", timeout=120)
        machine.console.send(b"busybox uname -sm; echo sum $((6 * 7))\n")
        name = {"x86_64": b"x86_64", "arm64": b"aarch64"}[arch]
        machine.console.expect(b"Linux " + name + rb"\s+sum 42", timeout=30)
        machine.console.send(b"busybox poweroff -f\n")
        assert machine.wait(timeout=30) == 0
        assert machine.outcome is not None
        assert machine.outcome.kind == "powered off"
