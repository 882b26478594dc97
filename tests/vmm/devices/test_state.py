"""Every device is saved in the middle of activity and goes on elsewhere as if nothing had been.

A device that is not in `SITUATIONS`, alone or as a part of another, fails the first test. Devices
of the package virtio, which live on guest RAM, have a test like this of their own there.
"""

from __future__ import annotations

import pkgutil
import random
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

import vmm.devices
from tests.vmm.devices.parts import ManualClock, Screen, Wire
from vmm.devices.device import Device, State
from vmm.devices.gicv2 import GicV2
from vmm.devices.gicv3 import GicV3
from vmm.devices.hwrng import HwRng
from vmm.devices.i8042 import I8042
from vmm.devices.i8254 import I8254
from vmm.devices.i8259 import I8259Pair
from vmm.devices.ioapic import IoApic
from vmm.devices.local_apics import LocalApics
from vmm.devices.ns16550 import Ns16550
from vmm.devices.pc_exits import AcpiEvents, AcpiPowerControl, DebugConsole, DebugExit
from vmm.devices.pl011 import Pl011
from vmm.devices.pl031 import Pl031
from vmm.devices.registers import RegisterDevice
from vmm.devices.rtc_cmos import RtcCmos

if TYPE_CHECKING:
    from typing import Self

    from vmm.lines import InterruptLine, Region

# Bases and fixtures of bases, which are no devices by themselves.
ABSTRACT = {"Device", "RegisterDevice", "Gic", "InterruptRegisters", "Peripheral", "Uart"}

# Devices whose whole state is that of others: they are views.
STATELESS = {"Elcr", "PrivateInterrupts"}


STEPS = 500


class Situation:
    """One device with everything around it, driven by a seeded sequence of events.

    What can be seen from outside is appended to ``seen``.
    """

    device: Device
    places: list[tuple[Region, int]]

    def __init__(self) -> None:
        self.clock = ManualClock(start=1_700_000)
        self.seen: list[object] = []
        self.wires: list[Wire] = []
        self.inputs: list[InterruptLine] = []
        self.places = []
        self.extra: Callable[[random.Random], object] = lambda dice: None

    def of(self, device: RegisterDevice) -> Self:
        """Let it be one of a device that is accessed by its own registers."""
        self.device = device
        self.attach(device)
        return self

    def wire(self) -> Wire:
        self.wires.append(Wire())
        return self.wires[-1]

    def attach(self, device: RegisterDevice, region: Region | None = None, base: int = 0) -> None:
        """Access the registers of ``device``, and of arrays the first ones, through ``region``."""
        self.places += [
            (region or device, base + register.offset + register.span * index)
            for register in device.registers.values()
            if not register.bank
            for index in range(min(register.count, 12))
        ]

    def wall_clock(self) -> int:
        return 1_700_000_000_123_456_789 + self.clock.time

    def event(self, *content: object) -> None:
        self.seen.append(content)

    def step(self, dice: random.Random) -> None:
        region, offset = dice.choice(self.places)
        size = dice.choice((1, 2, 4, 4, 4, 8))
        value = dice.choice((0, 0xFF, dice.getrandbits(8), dice.getrandbits(8 * size)))
        action = dice.randrange(5)
        if action < 2:
            region.write(offset, size, value & ((1 << 8 * size) - 1))
        elif action == 2:
            self.seen.append(region.read(offset, size))
        elif action == 3 and self.inputs:
            dice.choice(self.inputs)(dice.random() < 0.5)
        else:
            self.clock.advance(dice.choice((1, 1000, 1_000_000)))
        self.seen.append(self.extra(dice))
        self.seen.append([wire.level for wire in self.wires])


def ns16550() -> Situation:
    situation = Situation()
    uart = Ns16550(irq=situation.wire(), sink=Screen())
    situation.extra = lambda dice: uart.receive(dice.randbytes(dice.randrange(3)))
    return situation.of(uart)


def pl011() -> Situation:
    situation = Situation()
    uart = Pl011(irq=situation.wire(), sink=Screen())
    situation.extra = lambda dice: uart.receive(dice.randbytes(dice.randrange(3)))
    return situation.of(uart)


def i8259() -> Situation:
    situation = Situation()
    pic = I8259Pair()
    pic.connect(situation.wire())
    situation.device = pic
    for region in pic.regions:
        situation.attach(region)
    situation.inputs = [pic.line(irq) for irq in range(16) if irq != 2]
    situation.extra = lambda dice: pic.acknowledge() if pic.pending() else None
    return situation


def ioapic() -> Situation:
    situation = Situation()
    device = IoApic(messages=situation.event)
    situation.device = device
    situation.attach(device)
    situation.inputs = [device.line(pin) for pin in range(24)]
    situation.extra = lambda dice: device.end_of_interrupt(dice.getrandbits(8))
    return situation


def local_apics() -> Situation:
    situation = Situation()
    cpu = [0]
    apics = LocalApics(
        count=2, clock=situation.clock, current_cpu=lambda: cpu[0], on_eoi=situation.event
    )
    for apic in apics.apics:
        apic.connect(situation.wire())
        apic.write(0xF0, 4, 0x1FF)
    situation.device = apics
    situation.attach(apics.apics[0], apics)

    def interrupt(dice: random.Random) -> object:
        cpu[0] = dice.randrange(2)
        apics.send_message(0xFEE0_0000 | dice.randrange(2) << 12, dice.getrandbits(8))
        return apics.apics[cpu[0]].acknowledge() if dice.random() < 0.5 else None

    situation.extra = interrupt
    return situation


def gicv2() -> Situation:
    situation = Situation()
    cpu = [0]
    lines = [situation.wire(), situation.wire()]
    gic = GicV2(irq_lines=lines, interrupts=64, current_cpu=lambda: cpu[0])
    gic.distributor.write(0, 4, 3)
    situation.device = gic
    situation.attach(gic.distributor)
    situation.attach(gic.interfaces[0], gic.cpu_interface)
    situation.inputs = [gic.line(intid) for intid in range(32, 64)]

    def switch(dice: random.Random) -> object:
        cpu[0] = dice.randrange(2)
        return gic.cpu_interface.read(0x0C, 4) if dice.random() < 0.3 else None

    situation.extra = switch
    return situation


def gicv3() -> Situation:
    situation = Situation()
    gic = GicV3(irq_lines=[situation.wire(), situation.wire()], interrupts=64)
    gic.distributor.write(0, 4, 3)
    situation.device = gic
    situation.attach(gic.distributor)
    for redistributor in gic.redistributors:
        situation.attach(redistributor.control, redistributor)
        situation.attach(redistributor.private, redistributor, base=0x1_0000)
    situation.inputs = [gic.line(intid) for intid in range(32, 64)]

    def system_registers(dice: random.Random) -> object:
        interface = dice.choice(gic.cpu_interfaces)
        register = dice.choice(interface.encodings())
        if dice.random() < 0.5:
            interface.write_register(register, dice.getrandbits(8))
        return interface.read_register(register)

    situation.extra = system_registers
    return situation


def i8254() -> Situation:
    situation = Situation()
    pit = I8254(irq=situation.wire(), clock=situation.clock)
    situation.device = pit
    situation.attach(pit)
    situation.attach(pit.port_61)
    return situation


def rtc_cmos() -> Situation:
    situation = Situation()
    return situation.of(
        RtcCmos(irq=situation.wire(), clock=situation.clock, wall_clock=situation.wall_clock)
    )


def pl031() -> Situation:
    situation = Situation()
    return situation.of(
        Pl031(irq=situation.wire(), clock=situation.clock, wall_clock=situation.wall_clock)
    )


def hwrng() -> Situation:
    situation = Situation()

    def fail_sometimes(length: int) -> bytes:
        number = situation.clock.time >> 10
        if number % 16 == 0:
            raise OSError
        return number.to_bytes(length, "little")

    return situation.of(HwRng(irq=situation.wire(), source=fail_sometimes))


def i8042() -> Situation:
    situation = Situation()
    return situation.of(I8042(reset=lambda: situation.event("reset")))


def power() -> Situation:
    situation = Situation()
    return situation.of(AcpiPowerControl(shutdown=situation.event))


def acpi_events() -> Situation:
    situation = Situation()
    return situation.of(AcpiEvents())


def debug_exit() -> Situation:
    situation = Situation()
    return situation.of(DebugExit(shutdown=situation.event))


def debug_console() -> Situation:
    situation = Situation()
    return situation.of(DebugConsole(sink=situation.event))


SITUATIONS = (
    ns16550,
    pl011,
    i8259,
    ioapic,
    local_apics,
    gicv2,
    gicv3,
    i8254,
    rtc_cmos,
    pl031,
    hwrng,
    i8042,
    power,
    acpi_events,
    debug_exit,
    debug_console,
)


def with_parts(device: Device) -> Iterator[Device]:
    yield device
    for _, part in device.parts():
        yield from with_parts(part)


def test_all_devices_are_tested_here() -> None:
    for module in pkgutil.iter_modules(vmm.devices.__path__, "vmm.devices."):
        if module.name != "vmm.lines":
            import_module(module.name)
    classes = {Device}
    while more := {s for c in classes for s in c.__subclasses__()} - classes:
        classes |= more
    ours = {c.__name__ for c in classes if c.__module__.rpartition(".")[0] == "vmm.devices"}
    tested = {type(part).__name__ for make in SITUATIONS for part in with_parts(make().device)}
    assert ours - ABSTRACT - STATELESS - tested == set()


@pytest.mark.parametrize("make", SITUATIONS)
@pytest.mark.parametrize("seed", list(range(8)))
def test_a_device_restored_in_the_middle_goes_on_alike(
    make: Callable[[], Situation], seed: int
) -> None:
    old = make()
    dice = random.Random(seed)
    for _ in range(STEPS):
        old.step(dice)
    state = old.device.save()
    hash(state)
    new = make()
    new.clock.advance(old.clock.time - new.clock.time)
    new.device.load(state)
    assert new.device.save() == state
    assert [wire.level for wire in new.wires] == [wire.level for wire in old.wires]
    old.seen.clear()
    new.seen.clear()
    old_dice, new_dice = random.Random(seed), random.Random(seed)
    for _ in range(STEPS):
        old.step(old_dice)
        new.step(new_dice)
        assert new.seen == old.seen
    assert new.device.save() == old.device.save()


@pytest.mark.parametrize("make", SITUATIONS)
def test_reset_leads_back_to_the_beginning(make: Callable[[], Situation]) -> None:
    situation, fresh = make(), make()
    dice = random.Random(1)
    for _ in range(STEPS):
        situation.step(dice)
    situation.device.reset()
    fresh.device.reset()
    assert situation.device.save() == fresh.device.save()
    assert not any(wire.level for wire in situation.wires)


@pytest.mark.parametrize("make", SITUATIONS)
def test_lines_are_driven_by_changes_only(make: Callable[[], Situation]) -> None:
    situation = make()
    situation.device.reset()
    assert [wire.calls for wire in situation.wires] == [0] * len(situation.wires)
    dice = random.Random(1)
    for _ in range(STEPS):
        situation.step(dice)
    for wire in situation.wires:
        assert wire.calls == 2 * wire.rises - wire.level


@pytest.mark.parametrize("make", SITUATIONS)
def test_every_register_can_be_traced_and_has_a_reference_page(
    make: Callable[[], Situation],
) -> None:
    from vmm.devices.reference import describe

    for part in with_parts(make().device):
        if not isinstance(part, RegisterDevice):
            continue
        page = describe(type(part))
        for register in part.registers.values():
            assert f"| {register.name}" in page
            assert register.width % 8 == 0
            for field in register.fields:
                assert field.high < register.width
                assert field.name in page
        assert part.decode(0, 0, True)[0]


def test_values_of_a_state_are_plain() -> None:
    plain = (int, bool, str, bytes, type(None))

    def check(item: object) -> None:
        if isinstance(item, State):
            for _, value in item.values:
                check(value)
        elif isinstance(item, tuple):
            for value in item:
                check(value)
        else:
            assert type(item) in plain

    for make in SITUATIONS:
        check(make().device.save())
