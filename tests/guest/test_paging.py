"""The tables that the kernel has built, walked by an independent walker after the guest's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.test_boot import kernels  # noqa: F401 - a fixture
from tests.guest.walker import Block, walk_arm64, walk_x86_64
from vmm import Machine
from vmm.boot.bootinfo import unpack_bootinfo, unpack_regions
from vmm.boot.layout import Region
from vmm.hypercall import abi

PAGE = 4096
CHUNK = 2 << 20
USER_START = 0x1_0000

Rights = tuple[bool, bool, bool]  # write, execute, device


class Ended:
    """What is left of a machine: its regions, and what its tables map."""

    def __init__(
        self, image: str | Path, arch: str, backend: str, cmdline: str = "", board: str = ""
    ) -> None:
        with Machine(
            image, arch=arch, backend=backend, memory="16M", cmdline=cmdline, board=board
        ) as machine:
            machine.run(timeout=60)
            assert machine.exit_status == 0, machine.outcome
            registers = machine.registers()
            memory = machine.memory
            start = machine.loaded.registers["rdi" if arch == "x86_64" else "x0"]
            assert isinstance(start, int)
            info = unpack_bootinfo(memory.read(start, abi.BOOTINFO.size))
            # The kernel adds devices that it has found itself.
            array = memory.read(info.regions, info.region_capacity * abi.REGION.size)
            self.regions = [region for region in unpack_regions(array) if region.length]
            names = ("cr3",) if arch == "x86_64" else ("ttbr0_el1", "ttbr1_el1")
            roots = [root for root in map(registers.get, names) if isinstance(root, int)]
            blocks = (walk_x86_64 if arch == "x86_64" else walk_arm64)(memory, *roots)
        self.kernel = [block for block in blocks if block.virtual >> 63]
        self.user = [block for block in blocks if not block.virtual >> 63]

    def mapped(self, region: Region) -> dict[int, Rights]:
        """The pages of a region that are mapped where it says."""
        return {
            page: rights
            for page, (physical, rights) in pages(self.kernel).items()
            if region.virtual <= page < region.virtual + region.length
            and physical - region.physical == page - region.virtual
        }


def pages(blocks: list[Block]) -> dict[int, tuple[int, Rights]]:
    return {
        block.virtual + offset: (
            block.physical + offset,
            (block.write, block.execute, block.device),
        )
        for block in blocks
        for offset in range(0, block.size, PAGE)
    }


def every_page(region: Region, rights: Rights) -> dict[int, Rights]:
    return {region.virtual + offset: rights for offset in range(0, region.length, PAGE)}


@pytest.fixture
def hello(arch: str, backend: str) -> Ended:
    return Ended("hello", arch, backend)


def test_each_region_has_its_rights_and_nothing_else_is_mapped(hello: Ended) -> None:
    expected: dict[int, Rights] = {}
    for region in hello.regions:
        rights = (
            bool(region.flags & abi.REGION_WRITE),
            bool(region.flags & abi.REGION_EXECUTE),
            region.type == abi.REGION_DEVICE,
        )
        wanted = every_page(region, rights)
        if region.type == abi.REGION_FREE:
            # Crumbs besides whole blocks of 2 MiB wait until they are needed.
            first, last = -(-region.physical // CHUNK), region.end // CHUNK
            blocks = range(first * CHUNK, last * CHUNK, PAGE)
            distance = region.virtual - region.physical
            wanted = {page + distance: rights for page in blocks}
        if region.type == abi.REGION_BOOT:
            wanted = dict.fromkeys(hello.mapped(region), rights)
            assert len(wanted) < region.length // PAGE or region.length == PAGE
        if region.flags:
            expected |= wanted
    found = {page: rights for page, (_, rights) in pages(hello.kernel).items()}
    assert found == expected
    assert any(region.flags == 0 for region in hello.regions), "the boot stack has a guard"


@pytest.mark.parametrize("board", ["gic=2", "gic=3", "gic=2,devices=0x10000000000"])
def test_early_devices_are_regions_of_bootinfo(board: str) -> None:
    """And so are mapped from the start, though nothing in this program needs an interrupt."""
    ended = Ended("hello", "arm64", "unicorn", board=board)
    distance = 0x100_0000_0000 if "devices" in board else 0
    second = (0x0801_0000, 0x1_0000) if "gic=2" in board else (0x080A_0000, 0x2_0000)
    devices = [region for region in ended.regions if region.type == abi.REGION_DEVICE]
    assert [(region.physical - distance, region.length, region.name) for region in devices] == [
        (0x0800_0000, 0x1_0000, "gic distributor"),
        (*second, "gic processors"),
        (0x0900_0000, PAGE, "console"),
        (0x0902_0000, PAGE, "doorbell"),
    ]
    for region in devices:
        assert ended.mapped(region) == every_page(region, (True, False, True))


def test_physical_memory_is_where_it_belongs(hello: Ended) -> None:
    distances = {block.virtual - block.physical for block in hello.kernel}
    assert distances == {hello.regions[0].virtual - hello.regions[0].physical}


def test_nothing_is_writable_and_executable(hello: Ended) -> None:
    for block in (*hello.kernel, *hello.user):
        assert not (block.write and block.execute)


def test_the_halves_are_apart(hello: Ended) -> None:
    assert not any(block.user for block in hello.kernel)
    assert all(block.user for block in hello.user)
    assert hello.user
    assert all(block.virtual >= USER_START for block in hello.user)


def test_the_program_runs_in_the_image_that_the_vmm_loaded(hello: Ended) -> None:
    (image,) = [region for region in hello.regions if region.type == abi.REGION_PROGRAM]
    text = [block for block in hello.user if block.execute]
    assert text
    for block in text:
        assert image.physical <= block.physical < image.end


def test_when_memory_runs_short_all_of_it_is_mapped(
    kernels: dict[str, Path],  # noqa: F811
    arch: str,
    backend: str,
) -> None:
    ended = Ended(kernels[arch], arch, backend, "test=use-all-memory")
    for region in ended.regions:
        if region.type in (abi.REGION_FREE, abi.REGION_BOOT):
            assert ended.mapped(region) == every_page(region, (True, False, False))
