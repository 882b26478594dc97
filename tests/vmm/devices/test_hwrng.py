"""The random number generator, alone and at its places on both boards."""

from __future__ import annotations

import pytest

from tests.vmm.boot.fdt_reader import read_fdt
from tests.vmm.devices.parts import Wire
from vmm.devices.hwrng import HwRng
from vmm.machine.machine import Machine

ID, VERSION, CR, STATUS, IER, DATA = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x18
READY, ERROR = 1, 2


class Source:
    """Counts, or fails."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails = False

    def __call__(self, length: int) -> bytes:
        if self.fails:
            raise OSError
        self.calls += 1
        return bytes([self.calls] * length)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def irq() -> Wire:
    return Wire()


@pytest.fixture
def rng(source: Source, irq: Wire) -> HwRng:
    return HwRng(irq=irq, source=source)


def test_it_says_what_it_is(rng: HwRng) -> None:
    assert rng.read(ID, 4).to_bytes(4, "little") == b"HRNG"
    assert rng.read(VERSION, 4) == 1


def test_nothing_is_generated_before_it_is_enabled(rng: HwRng, source: Source) -> None:
    assert rng.read(STATUS, 4) == 0
    assert rng.read(DATA, 4) == rng.read(DATA, 8) == 0
    assert source.calls == 0


def test_each_access_gives_fresh_bits(rng: HwRng) -> None:
    rng.write(CR, 4, 1)
    assert rng.read(STATUS, 4) == READY
    assert rng.read(DATA, 8) == 0x0101_0101_0101_0101
    assert rng.read(DATA, 4) == 0x0202_0202
    assert rng.read(DATA + 4, 4) == 0x0303_0303


def test_a_failure_of_the_source_is_told_and_can_be_cleared(rng: HwRng, source: Source) -> None:
    rng.write(CR, 4, 1)
    source.fails = True
    assert rng.read(DATA, 8) == 0
    assert rng.read(STATUS, 4) == ERROR
    source.fails = False
    assert rng.read(DATA, 8) == 0
    rng.write(STATUS, 4, ERROR)
    assert rng.read(STATUS, 4) == READY
    assert rng.read(DATA, 8) != 0


def test_the_interrupt_follows_status_and_enable(rng: HwRng, source: Source, irq: Wire) -> None:
    rng.write(IER, 4, READY)
    assert not irq.level
    rng.write(CR, 4, 1)
    assert irq.level
    rng.write(IER, 4, ERROR)
    assert not irq.level
    source.fails = True
    rng.read(DATA, 4)
    assert irq.level
    rng.write(STATUS, 4, ERROR)
    assert not irq.level


def test_other_sizes_have_no_effect(rng: HwRng, source: Source) -> None:
    rng.write(CR, 1, 1)
    assert rng.read(STATUS, 4) == 0
    rng.write(CR, 4, 1)
    assert rng.read(DATA, 2) == 0
    assert source.calls == 0


PLACES = {"x86_64": 0xD001_0000, "arm64": 0x0903_0000}


def test_it_is_on_every_board(arch: str) -> None:
    with Machine("hello", arch=arch, backend="unicorn") as machine:
        bus = machine.bus
        assert bus.mmio_read(PLACES[arch], 4).to_bytes(4, "little") == b"HRNG"
        bus.mmio_write(PLACES[arch] + CR, 4, 1)
        words = {bus.mmio_read(PLACES[arch] + DATA, 8) for _ in range(8)}
        assert len(words) == 8


def test_kernels_are_told_where_it_is() -> None:
    with Machine("hello", arch="x86_64", backend="unicorn") as machine:
        assert machine.board.calypso_words() == "hwrng.device=4096@0xd0010000:3"
    with Machine("hello", arch="arm64", backend="unicorn") as machine:
        blob = machine.board.device_tree("", None)
        assert blob is not None
        node = read_fdt(blob).root.children["rng@9030000"]
    assert node.properties["compatible"] == b"calypso,hwrng\0"
    cells = node.properties["interrupts"]
    assert [int.from_bytes(cells[i : i + 4], "big") for i in (0, 4, 8)] == [0, 35 - 32, 4]
