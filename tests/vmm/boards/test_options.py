"""The words of --board, and boards whose devices are far from their usual places."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.boot.fdt_reader import read_fdt
from vmm import Machine
from vmm.arch import ARM64, X86_64
from vmm.boards.options import MODELS, BoardOptions, choose, parse_board
from vmm.boot.bootinfo import unpack_bootinfo
from vmm.errors import UsageError
from vmm.hypercall import abi

# Bit 40: where a realm with 41 bits of address sees what it shares with its host.
FAR = 0x100_0000_0000


@given(
    model=st.sampled_from(("", *MODELS)),
    gic=st.sampled_from((0, 2, 3)),
    gibibytes=st.integers(0, (1 << 16) - 1),
    packed=st.booleans(),
)
def test_options_are_read_as_they_are_written(
    model: str, gic: int, gibibytes: int, packed: bool
) -> None:
    options = BoardOptions(model, gic, gibibytes << 30, packed)
    assert parse_board(str(options)) == options


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gic=4", "board option 'gic=4' is not one of virt, firecracker, gic=2"),
        ("virt,,gic=2", "board option '' is not one of"),
        ("devices=far", "devices=far is not a number"),
        ("devices=0x10000", "is not a multiple of 0x40000000"),
        ("devices=-0x40000000", "is not a multiple of 0x40000000"),
        ("devices=0x400000000000", "below 0x400000000000"),
    ],
)
def test_other_words_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_board(text)


def test_what_is_left_open_is_as_the_image_expects() -> None:
    expected = BoardOptions("firecracker", 2)
    assert choose(f"gic=3,devices={FAR:#x}", expected, ARM64) == BoardOptions("firecracker", 3, FAR)
    assert choose("packed", expected, ARM64) == BoardOptions("firecracker", 2, packed=True)


def test_a_pc_has_devices_to_move_and_nothing_else_to_choose() -> None:
    assert choose(f"devices={FAR},packed", None, X86_64) == BoardOptions("", 0, FAR, True)
    with pytest.raises(UsageError, match="no options but devices"):
        choose("gic=3", None, X86_64)


def test_devices_do_not_go_where_ram_is(arch: str) -> None:
    with pytest.raises(UsageError, match="would put devices into RAM, which ends at"):
        Machine("hello", arch=arch, backend="unicorn", memory="4G", board="devices=0x40000000")


@pytest.mark.parametrize("devices", [0, FAR])
@pytest.mark.parametrize(("gic", "cpus"), [(2, 1), (3, 1), (3, 4)])
def test_bootinfo_and_device_tree_name_the_same_gic(gic: int, cpus: int, devices: int) -> None:
    board = f"gic={gic},devices={devices:#x}"
    with Machine("hello", arch="arm64", backend="unicorn", board=board, cpus=cpus) as machine:
        place = machine.loaded.bootinfo
        info = unpack_bootinfo(machine.memory.read(place, abi.BOOTINFO.size))
        blob = machine.board.device_tree("", None)
    assert blob is not None
    node = read_fdt(blob).root.children[f"interrupt-controller@{info.distributor:x}"]
    words = (
        *(info.distributor, info.distributor_length),
        *(info.processor_frames, info.processor_frames_length),
    )
    assert struct.unpack(">4Q", node.properties["reg"]) == words
    assert info.features & abi.FEATURE_CONTROLLER
    assert info.controller == gic
    assert all(machine.bus.mmio.find(word) is not None for word in words[::2])


def test_a_pc_has_no_controller_to_tell_of() -> None:
    with Machine("hello", arch="x86_64", backend="unicorn") as machine:
        place = machine.loaded.bootinfo
        info = unpack_bootinfo(machine.memory.read(place, abi.BOOTINFO.size))
    assert not info.features & abi.FEATURE_CONTROLLER
    assert info.controller == abi.CONTROLLER_NONE


# A device whose place in memory is the board's to choose: random numbers, or the serial port.
PLACES = {"x86_64": 0xD001_0000, "arm64": 0x0900_0000}


def test_a_guest_runs_with_devices_that_are_far_away(arch: str, backend: str) -> None:
    with Machine(
        "hello",
        arch=arch,
        backend=backend,
        board=f"devices={FAR:#x}",
        cmdline="console=serial",
    ) as machine:
        assert machine.run(timeout=20) == 0
        assert machine.console.output.startswith(f"Hello from a small {arch}".encode())
        place = PLACES[arch]
        assert machine.bus.mmio.find(place) is None
        assert machine.bus.mmio.find(FAR + place) is not None
