"""Interrupts on the x86_64 board: 8259 pair, I/O APIC and local APIC, and the wires between them.

An interrupt request of a device goes to both the 8259 pair and the I/O APIC, as on any PC; the
guest masks one of them. The controllers are made when the guest or a device first needs them.
Local APICs are the backend's where it has them, else devices of this board.
"""

from __future__ import annotations

from vmm.boards import x86_map as at
from vmm.boards.lazy import LazyRegion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from vmm.backends.api import VirtualMachine, X86Vcpu
    from vmm.boards.board import Host
    from vmm.bus import Bus
    from vmm.devices.i8259 import I8259Pair
    from vmm.devices.ioapic import IoApic
    from vmm.devices.local_apics import LocalApics
    from vmm.lines import Clock, InterruptLine, InterruptSource

SPURIOUS: Final = 0xFF
ALL_MASKED: Final = 0xFF
ISA_IRQS: Final = 16


class Interrupts:
    """All interrupt controllers of the board."""

    def __init__(self, vm: VirtualMachine, bus: Bus, clock: Clock, host: Host) -> None:
        self._host = host
        self._vm = vm
        self._bus = bus
        self._clock = clock
        self._vcpus: Sequence[X86Vcpu] = ()
        self._pins: list[InterruptLine] = []
        self._pic: I8259Pair | None = None
        self._ioapic: IoApic | None = None
        self._apics: LocalApics | None = None

    def connect(self, vcpus: Sequence[X86Vcpu]) -> None:
        """Connect the INTR pins of the vCPUs, and place the controllers on the bus."""
        self._vcpus = vcpus
        for vcpu in vcpus:
            source = _Source(self, vcpu.index)
            self._pins.append(vcpu.connect_interrupts(source))
        ports, memory = self._bus.pio.attach, self._bus.mmio.attach
        ports(at.PIC_MASTER, at.PIC_PORTS, "8259 master", LazyRegion(lambda: self.pic.master))
        ports(at.PIC_SLAVE, at.PIC_PORTS, "8259 slave", LazyRegion(lambda: self.pic.slave))
        ports(at.ELCR, at.PIC_PORTS, "elcr", LazyRegion(lambda: self.pic.elcr))
        memory(at.IOAPIC, at.APIC_WINDOW, "ioapic", LazyRegion(lambda: self.ioapic))
        if not self._vm.local_apic:
            memory(at.LOCAL_APIC, at.APIC_WINDOW, "local apic", LazyRegion(lambda: self.apics))

    @property
    def pic(self) -> I8259Pair:
        """The 8259 pair; made when first needed."""
        if self._pic is None:
            from vmm.devices.i8259 import I8259Pair

            self._pic = pic = I8259Pair()
            # As firmware leaves them: a kernel that gives them no vectors wants nothing of them.
            pic.master.IMR = pic.slave.IMR = ALL_MASKED
            if self._vm.local_apic:
                pic.connect(self._pins[0])
            else:
                pic.connect(self.apics.apics[0].connect_external(pic))
        return self._pic

    @property
    def ioapic(self) -> IoApic:
        """The I/O APIC; made when first needed."""
        if self._ioapic is None:
            from vmm.devices.ioapic import IoApic

            if self._vm.local_apic:
                vm = self._vm
                self._ioapic = IoApic(messages=vm.signal_msi, on_routes=vm.watch_vectors)
                vm.connect_end_of_interrupt(self._ioapic)
            else:
                self._ioapic = IoApic(messages=self._send_message)
        return self._ioapic

    @property
    def apics(self) -> LocalApics:
        """The local APICs, where they are devices and not the backend's; made when needed."""
        if self._apics is None:
            from vmm.devices.local_apics import LocalApics

            vcpus = self._vcpus
            self._apics = LocalApics(
                count=len(vcpus),
                clock=self._clock,
                current_cpu=self._vm.current_cpu,
                on_eoi=self._end_of_interrupt,
                on_init=lambda target: vcpus[target].receive_init(),
                on_startup=lambda target, page: vcpus[target].receive_startup(page),
            )
            for apic, pin in zip(self._apics.apics, self._pins, strict=True):
                apic.connect(pin)
        return self._apics

    def _end_of_interrupt(self, vector: int) -> None:
        if self._ioapic is not None:
            self._ioapic.end_of_interrupt(vector)

    def _send_message(self, address: int, data: int) -> None:
        self.apics.send_message(address, data)

    def line(self, irq: int) -> InterruptLine:
        """Return the wire of ISA interrupt request ``irq``, or of pin 16 or more alone."""
        gsi = at.GSI_TIMER if irq == at.IRQ_TIMER else irq

        def drive(level: bool) -> None:
            if irq < ISA_IRQS:
                self.pic.line(irq)(level)
            self.ioapic.line(gsi)(level)
            if level:
                self._host.end_idle()

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
        return None if self._apics is None else self._apics.apics[index]


class _Source:
    """The interrupt controller at a vCPU's INTR pin, which may not have been made yet."""

    def __init__(self, interrupts: Interrupts, index: int) -> None:
        self._interrupts = interrupts
        self._index = index

    def pending(self) -> bool:
        return self._interrupts.pending(self._index)

    def acknowledge(self) -> int:
        return self._interrupts.acknowledge(self._index)
