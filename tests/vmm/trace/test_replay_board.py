"""Devices of the boards: what they did for a guest that used the console is done again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.test_devices import program
from tests.vmm.devices import gics
from tests.vmm.trace.replays import departs, repeats
from vmm.boards.arm64 import Arm64Board
from vmm.cli import main
from vmm.devices.gicv2 import GicV2
from vmm.devices.gicv3 import GicV3
from vmm.devices.hwrng import HwRng
from vmm.devices.i8259 import I8259Pair
from vmm.devices.ioapic import IoApic
from vmm.devices.local_apics import LocalApics
from vmm.devices.ns16550 import Ns16550
from vmm.devices.pl011 import Pl011
from vmm.machine.machine import Machine
from vmm.trace.reader import Trace
from vmm.trace.replay import Replay

GICD, GICC, GICC_PMR = 0x0800_0000, 0x0801_0000, 0x04
SERIAL_INTID = 33
PL011, HWRNG, COM1 = 0x0900_0000, 0x0903_0000, 0x3F8
PIC_MASTER, PIC_SLAVE, IMR, PIT = 0x20, 0xA0, 1, 0x40


def record(file: Path, arch: str, **options: str) -> Trace:
    """Record a guest that sleeps until it is sent something."""
    with Machine(
        program("console.c", arch),
        backend="unicorn",
        devices=["console"],
        trace=f"{file},replay",
        **options,  # type: ignore[arg-type]
    ) as machine:
        console = machine.console
        console.expect(rb"empty -1 1, poll 0", timeout=60)
        for text in (b"hello\n", b"end\n"):
            console.send(text)
        assert machine.wait(timeout=60) == 0
    return Trace(str(file))


class DeafGicV2(GicV2):
    """Does not see levels."""

    def set_shared(self, intid: int, level: bool) -> None:
        super().set_shared(intid, False)


class DeafGicV3(GicV3):
    """Likewise."""

    def set_shared(self, intid: int, level: bool) -> None:
        super().set_shared(intid, False)


def interrupt(file: Path, board: str) -> Trace:
    """Record a GIC as the serial port has input. No guest runs: its timer could come between."""
    with Machine(
        "hello", arch="arm64", backend="unicorn", board=board, trace=f"{file},replay"
    ) as machine:
        assert isinstance(machine.board, Arm64Board)
        write, gic = machine.bus.mmio_write, machine.board.gic
        write(GICD, 4, 3)
        write(GICD + gics.ISENABLER + 4, 4, 1 << SERIAL_INTID - 32)
        if isinstance(gic, GicV2):
            write(GICC, 4, 3)
            write(GICC + GICC_PMR, 4, 0xF8)
        else:
            write(GICD + gics.IGROUPR + 4, 4, 1 << SERIAL_INTID - 32)
            gic.cpu_interfaces[0].write_register(gics.IGRPEN1, 1)
            gic.cpu_interfaces[0].write_register(gics.PMR, 0xF8)
        write(PL011 + 0x30, 4, 0x301)
        write(PL011 + 0x38, 4, 0x50)
        machine.console.send(b"x")
    return Trace(str(file))


@pytest.mark.parametrize(("board", "kind"), [("gic=2", DeafGicV2), ("gic=3", DeafGicV3)])
def test_gic(tmp_path: Path, board: str, kind: type[GicV2 | GicV3]) -> None:
    trace = record(tmp_path / "trace", "arm64", board=board)
    # All regions, and system registers, are one device.
    repeats(trace, "gicd", "gicc" if kind is DeafGicV2 else "gicr0", least=10)
    trace = interrupt(tmp_path / "interrupt", board)
    repeats(trace, "gicd", least=5)
    step, recorded, _ = departs(trace, "gicd", kind)
    assert step == f".set_shared({SERIAL_INTID}, True)"
    assert recorded == ".irq_pins[0] rises"


class DeafIoApic(IoApic):
    """Does not see levels."""

    def set_line(self, pin: int, level: bool) -> None:
        super().set_line(pin, False)


class LastIoApic(IoApic):
    """Sends its interrupts elsewhere."""

    def _message(self, entry: int) -> tuple[int, int]:
        address, data = super()._message(entry)
        return address, data ^ 1


class EagerApics(LocalApics):
    """Takes each message for another."""

    def send_message(self, address: int, data: int) -> None:
        super().send_message(address, data ^ 1)


def test_apics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = record(tmp_path / "trace", "x86_64")
    repeats(trace, "ioapic", "local apic", least=7)
    assert main(["trace", trace.path, "--replay", "*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["ioapic", "local apic", "virtio0"]
    assert all(line.endswith("all as recorded") for line in lines)
    step, recorded, _ = departs(trace, "ioapic", DeafIoApic)
    assert step.startswith(".set_line(")
    assert recorded.startswith(" calls messages(")
    step, recorded, replayed = departs(trace, "ioapic", LastIoApic)
    assert step.startswith(".set_line(")
    assert recorded != replayed
    step, _, _ = departs(trace, "local apic", EagerApics)
    assert step.startswith(".cpu0.acknowledge() = ")


class HighPair(I8259Pair):
    """Answers with the vector of its spurious interrupt."""

    def acknowledge(self) -> int:
        return super().acknowledge() | 7


def test_8259_and_timers(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    with Machine("hello", arch="x86_64", backend="unicorn", trace=f"{file},replay") as machine:
        write = machine.bus.port_write
        for port, vector, wiring in (PIC_MASTER, 0x20, 4), (PIC_SLAVE, 0x28, 2):
            write(port, 1, 0x11)
            for word in (vector, wiring, 1, 0):
                write(port + IMR, 1, word)
        # The timer's line rises in 1 ms, and stays up.
        write(PIT + 3, 1, 0x30)
        for byte in divmod(1193, 256)[::-1]:
            write(PIT, 1, byte)
        pic = machine.board._interrupts.pic  # type: ignore[attr-defined]
        while not pic.pending():
            machine.bus.port_read(PIC_MASTER, 1)
        assert pic.acknowledge() == 0x20
        write(PIC_MASTER, 1, 0x20)
    trace = Trace(str(file))
    repeats(trace, "8259 slave", "8259 master", "8254", least=4)
    step, recorded, replayed = departs(trace, "8259 master", HighPair)
    assert step == ".acknowledge() = 32"
    assert (recorded.split()[-1], replayed.split()[-1]) == ("32", "39")


class LoudPl011(Pl011):
    """Shouts."""

    def write(self, offset: int, size: int, value: int) -> None:
        super().write(offset, size, value & ~0x20 if offset == 0 else value)


class BlindPl011(Pl011):
    """Takes all letters for capitals."""

    def receive(self, data: bytes) -> int:
        return super().receive(data.upper())


def test_pl011(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    with Machine("hello", arch="arm64", backend="unicorn", trace=f"{file},replay") as machine:
        bus = machine.bus
        bus.mmio_write(PL011 + 0x30, 4, 0x301)
        bus.mmio_write(PL011 + 0x38, 4, 0x50)
        for character in b"hello":
            bus.mmio_write(PL011, 4, character)
        machine.console.send(b"some input, and more")
        read = bytes(bus.mmio_read(PL011, 4) for _ in range(20))
    assert read == b"some input, and more"
    trace = Trace(str(file))
    repeats(trace, "pl011")
    step, recorded, replayed = departs(trace, "pl011", LoudPl011)
    assert step == ".TDR W 0x68"
    assert (recorded, replayed) == (" calls sink(b'h')", " calls sink(b'H')")
    step, _, replayed = departs(trace, "pl011", BlindPl011)
    assert step.startswith(".DR R 0x73")
    assert replayed.startswith(".DR R 0x53")


class LazyNs16550(Ns16550):
    """Does not interrupt when its transmitter is empty."""

    def write(self, offset: int, size: int, value: int) -> None:
        super().write(offset, size, value & ~2 if offset == 1 else value)


def test_ns16550(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    with Machine("hello", arch="x86_64", backend="unicorn", trace=f"{file},replay") as machine:
        write, read = machine.bus.port_write, machine.bus.port_read
        write(COM1 + 1, 1, 3)
        assert read(COM1 + 2, 1) & 0xF == 2
        machine.console.send(b"typed")
        assert bytes(read(COM1, 1) for _ in range(5)) == b"typed"
        write(COM1, 1, ord("x"))
    trace = Trace(str(file))
    repeats(trace, "com1", least=9)
    step, recorded, _ = departs(trace, "com1", LazyNs16550)
    assert (step, recorded) == (".IER W 0x3 ETBEI=1 ERBFI=1", ".irq rises")


class FairHwRng(HwRng):
    """Has lost its lowest bit."""

    def read(self, offset: int, size: int) -> int:
        return super().read(offset, size) & ~1


def test_hwrng(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    with Machine("hello", arch="arm64", backend="unicorn", trace=f"{file},replay") as machine:
        machine.bus.mmio_write(HWRNG + 0x08, 4, 1)
        numbers = [machine.bus.mmio_read(HWRNG + offset, 4) for offset in 30 * (0, 4, 0xC)]
    trace = Trace(str(file))
    repeats(trace, "hwrng")
    first = next(at for at, number in enumerate(numbers) if number & 1)
    difference = Replay(trace, "hwrng", kind=FairHwRng).run().difference
    assert difference is not None
    assert difference.step == first + 2
