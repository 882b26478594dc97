"""Where guests find devices that were added, and how they are told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.vmm.boot.fdt_reader import read_fdt
from vmm.devices.virtio.mmio import MAGIC, VirtioMmio
from vmm.errors import UsageError
from vmm.machine.machine import Machine


@pytest.fixture
def disk(tmp_path: Path) -> str:
    path = tmp_path / "disk,1.img"
    path.write_bytes(os.urandom(4096))
    return str(path)


BASES = {"x86_64": 0xD000_0000, "arm64": 0x0A00_0000}


def test_devices_lie_one_behind_the_other(arch: str, disk: str) -> None:
    with Machine(
        "hello", arch=arch, backend="unicorn", disks=[disk], devices=["rng", "console"]
    ) as machine:
        read = machine.bus.mmio_read
        places = [BASES[arch] + 0x200 * index for index in range(3)]
        assert [read(place, 4) for place in places] == [MAGIC] * 3
        assert [read(place + 8, 4) for place in places] == [2, 4, 3]
        assert read(places[0] + 0x100, 4) == 8
        assert read(places[2] + 0x200, 4) == 0xFFFF_FFFF


def test_a_pc_is_told_on_the_command_line() -> None:
    with Machine("hello", arch="x86_64", backend="unicorn", devices=["rng", "rng"]) as machine:
        words = "virtio_mmio.device=512@0xd0000000:5 virtio_mmio.device=512@0xd0000200:6"
        assert machine.board.kernel_words() == words


def test_arm64_is_told_by_the_device_tree() -> None:
    with Machine("hello", arch="arm64", backend="unicorn", devices=["rng", "rng"]) as machine:
        assert machine.board.kernel_words() == ""
        blob = machine.board.device_tree("", None)
        assert blob is not None
        tree = read_fdt(blob)
    node = tree.root.children["virtio_mmio@a000200"]
    assert node.properties["compatible"] == b"virtio,mmio\0"
    cells = node.properties["interrupts"]
    assert [int.from_bytes(cells[i : i + 4], "big") for i in (0, 4, 8)] == [0, 49 - 32, 4]


def test_a_machine_without_has_none(arch: str) -> None:
    with Machine("hello", arch=arch, backend="unicorn") as machine:
        assert machine.bus.mmio_read(BASES[arch], 4) == 0xFFFF_FFFF
        assert machine.board.kernel_words() == ""


def test_slots_run_out(arch: str) -> None:
    with pytest.raises(UsageError, match="room for"):
        Machine("hello", arch=arch, backend="unicorn", devices=["rng"] * 33)


@pytest.mark.parametrize(("board", "offered"), [("", 0), ("packed", 1)])
def test_a_board_offers_packed_virtqueues_if_told(arch: str, board: str, offered: int) -> None:
    with Machine("hello", arch=arch, backend="unicorn", devices=["rng"], board=board) as machine:
        machine.bus.mmio_write(BASES[arch] + VirtioMmio.DeviceFeaturesSel.offset, 4, 1)
        features = machine.bus.mmio_read(BASES[arch] + VirtioMmio.DeviceFeatures.offset, 4)
        assert features >> (34 - 32) & 1 == offered
