"""Interrupts on the x86_64 board: 8259 pair, I/O APIC and local APIC, and the wires between them.

An interrupt request of a device goes to both the 8259 pair and the I/O APIC, as on any PC; the
guest masks one of them. The controllers are made when the guest or a device first needs them.
Local APICs are the backend's where it has them, else devices of this board.
"""

from __future__ import annotations

from vmm.boards.lazy import LazyRegion
from vmm.boards.x86_map import APIC_WINDOW, GSI_TIMER, IOAPIC, IRQ_TIMER, LOCAL_APIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, cast

    from vmm.backends.api import Vcpu, VirtualMachine, X86Vcpu
    from vmm.bus import Bus
    from vmm.devices.i8259 import I8259Pair
    from vmm.devices.ioapic import IoApic
    from vmm.devices.lines import Clock, InterruptLine, Region
    from vmm.devices.local_apic import LocalApic
else:

    def cast(_type, instance):
        """The run-time side of ``typing.cast``."""
        return instance


PIC_PORTS: Final = ((0x20, 2), (0xA0, 2), (0x4D0, 2))
SPURIOUS: Final = 0xFF


class Interrupts:
    """All interrupt controllers of the board."""

    def __init__(self, vm: VirtualMachine, bus: Bus, clock: Clock) -> None:
        self._vm = vm
        self._bus = bus
        self._clock = clock
        self._pins: list[InterruptLine] = []
        self._pic: I8259Pair | None = None
        self._ioapic: IoApic | None = None
        self._apics: list[LocalApic] = []

    def connect(self, vcpus: Sequence[Vcpu]) -> None:
        """Connect the INTR pins of the vCPUs, and place the controllers on the bus."""
        for vcpu in vcpus:
            source = _Source(self, vcpu.index)
            self._pins.append(cast("X86Vcpu", vcpu).connect_interrupts(source))
        attach = self._bus.pio.attach
        for part, (port, length) in enumerate(PIC_PORTS):
            attach(port, length, "i8259", LazyRegion(lambda part=part: self.pic.regions[part]))
        attach = self._bus.mmio.attach
        attach(IOAPIC, APIC_WINDOW, "ioapic", LazyRegion(lambda: self.ioapic))
        if not self._vm.local_apic:
            # Each vCPU sees its own local APIC here; with one vCPU there is one.
            attach(LOCAL_APIC, APIC_WINDOW, "local apic", LazyRegion(lambda: self.apics[0]))

    def line(self, irq: int) -> InterruptLine:
        """Return the wire of ISA interrupt request ``irq``."""
        gsi = GSI_TIMER if irq == IRQ_TIMER else irq

        def drive(level: bool) -> None:
            self.pic.line(irq)(level)
            self.ioapic.line(gsi)(level)

        return drive

    def pending(self, index: int) -> bool:
        """Tell whether the controller at the INTR pin of vCPU ``index`` requests an interrupt."""
        source = self._source(index)
        return source is not None and source.pending()

    def acknowledge(self, index: int) -> int:
        """Answer the acknowledge cycle of vCPU ``index`` with a vector."""
        source = self._source(index)
        return SPURIOUS if source is None else source.acknowledge()

    def _source(self, index: int) -> InterruptSource | None:
        if self._vm.local_apic:
            return self._pic if index == 0 else None
        return self._apics[index] if self._apics else None


class _Source:
    """The interrupt controller at a vCPU's INTR pin, which may not have been made yet."""

    def __init__(self, interrupts: Interrupts, index: int) -> None:
        self._interrupts = interrupts
        self._index = index

    def pending(self) -> bool:
        return self._interrupts.pending(self._index)

    def acknowledge(self) -> int:
        return self._interrupts.acknowledge(self._index)
