"""Arm's Generic Interrupt Controller version 3: distributor and redistributors (IHI 0069).

Affinity routing is always on, there is one security state, no LPIs and no ITS. Group 0 interrupts
are FIQs and have nowhere to go; a guest finds them by polling only. The CPU interface is in
`vmm.devices.gicv3_cpu`. Deviation, as in KVM: a redistributor delivers even while GICR_WAKER says
that it sleeps, for guests that rely on firmware to wake it.
"""

from __future__ import annotations

from vmm.devices.gic import PRIVATE, Gic, InterruptBank, InterruptRegisters
from vmm.devices.gicv3_cpu import CpuInterface
from vmm.devices.registers import RO, Register, RegisterArray, RegisterDevice, internal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar, Final

    from vmm.devices.device import Device
    from vmm.lines import InterruptLine

# Implementer Arm; the identification of GIC-500's distributor and redistributor.
IIDR: Final = 0x0000_043B
DISTRIBUTOR_ID: Final = (0x04, 0, 0, 0, 0x92, 0xB4, 0x3B, 0x00)
REDISTRIBUTOR_ID: Final = (0x04, 0, 0, 0, 0x93, 0xB4, 0x3B, 0x00)
COMPONENT_ID: Final = (0x0D, 0xF0, 0x05, 0xB1)

# The second 64 KiB frame of a redistributor.
SGI_FRAME: Final = 0x1_0000

AFFINITY: Final = 0xFF_00FF_FFFF


class Distributor(InterruptRegisters):
    """The distributor: a region of 64 KiB. Names are the manual's without the prefix GICD_."""

    SIZE: ClassVar[int] = 0x1_0000

    CTLR = Register(0x0000, "Distributor Control", reset=0x50)
    CTLR_RWP = CTLR.bit(31, "a register write is pending", RO)
    CTLR_DS = CTLR.bit(6, "security is disabled", RO)
    CTLR_ARE = CTLR.bit(4, "affinity routing is enabled", RO)
    CTLR_ENABLE_GRP1 = CTLR.bit(1, "forward interrupts of group 1")
    CTLR_ENABLE_GRP0 = CTLR.bit(0, "forward interrupts of group 0")
    TYPER = Register(0x0004, "Interrupt Controller Type", RO)
    TYPER_RSS = TYPER.bit(26, "SGIs reach affinity 0 of 16 and up")
    TYPER_NO_1N = TYPER.bit(25, "no 1 of N routing")
    TYPER_ID_BITS = TYPER.bits(23, 19, "bits of an INTID - 1")
    TYPER_IT_LINES_NUMBER = TYPER.bits(4, 0, "number of INTIDs / 32 - 1")
    IIDR = Register(0x0008, "Implementer Identification", RO, reset=IIDR)
    IROUTER = RegisterArray(0x6100, 988, "Interrupt Routing, of INTID 32 and up", width=64)
    IROUTER_AFF3 = IROUTER.bits(39, 32, "affinity level 3")
    IROUTER_AFF = IROUTER.bits(23, 0, "affinity levels 2, 1, 0")
    PIDR = RegisterArray(0xFFD0, 8, "Peripheral Identification 4 to 7, 0 to 3", RO)
    CIDR = RegisterArray(0xFFF0, 4, "Component Identification", RO)

    def __init__(self, gic: GicV3) -> None:
        self._gic = self.whole = gic
        super().__init__()

    def _place(self, word: int) -> tuple[InterruptBank, int] | None:
        # With affinity routing, what is private is in the redistributors only.
        shared, shift = self._gic.shared, PRIVATE * (word - 1)
        return (shared, shift) if shift >= 0 and shared.all >> shift else None

    @CTLR.after_write
    def _changed(self) -> None:
        self._gic.update()

    @TYPER.on_read
    def _read_typer(self) -> int:
        lines = self._gic.interrupts // 32 - 1
        return self.TYPER_RSS | self.TYPER_NO_1N | self.TYPER_ID_BITS.put(9) | lines

    @IROUTER.on_read
    def _read_route(self, index: int) -> int:
        routes = self._gic.routes
        return routes[index] if index < len(routes) else 0

    @IROUTER.on_write
    def _write_route(self, index: int, value: int) -> None:
        if index < len(self._gic.routes):
            self._gic.route(index, value & AFFINITY)

    @PIDR.on_read
    def _read_pidr(self, index: int) -> int:
        return DISTRIBUTOR_ID[index]

    @CIDR.on_read
    def _read_cidr(self, index: int) -> int:
        return COMPONENT_ID[index]


class RedistributorControl(RegisterDevice):
    """A redistributor's first frame, RD_base. Names are the manual's without the prefix GICR_."""

    CTLR = Register(0x0000, "Redistributor Control", RO)
    IIDR = Register(0x0004, "Implementer Identification", RO, reset=IIDR)
    TYPER = Register(0x0008, "Redistributor Type", RO, width=64)
    TYPER_AFFINITY = TYPER.bits(63, 32, "affinity of the processor")
    TYPER_PROCESSOR_NUMBER = TYPER.bits(23, 8, "its number")
    TYPER_LAST = TYPER.bit(4, "no redistributor follows")
    WAKER = Register(0x0014, "Wake", reset=0x6)
    WAKER_CHILDREN_ASLEEP = WAKER.bit(2, "the interface is quiescent", RO)
    WAKER_PROCESSOR_SLEEP = WAKER.bit(1, "the processor sleeps")
    PIDR = RegisterArray(0xFFD0, 8, "Peripheral Identification 4 to 7, 0 to 3", RO)
    CIDR = RegisterArray(0xFFF0, 4, "Component Identification", RO)

    def __init__(self, cpu: int, last: bool) -> None:
        self._cpu = cpu
        self._last = last
        super().__init__()

    @TYPER.on_read
    def _read_typer(self) -> int:
        return (
            self.TYPER_AFFINITY.put(self._cpu)
            | self.TYPER_PROCESSOR_NUMBER.put(self._cpu)
            | self.TYPER_LAST * self._last
        )

    @WAKER.after_write
    def _fall_asleep_or_wake(self) -> None:
        asleep = self.WAKER & self.WAKER_PROCESSOR_SLEEP
        self.WAKER = asleep | (self.WAKER_CHILDREN_ASLEEP if asleep else 0)

    @PIDR.on_read
    def _read_pidr(self, index: int) -> int:
        return REDISTRIBUTOR_ID[index]

    @CIDR.on_read
    def _read_cidr(self, index: int) -> int:
        return COMPONENT_ID[index]


class PrivateInterrupts(InterruptRegisters):
    """A redistributor's second frame, SGI_base: SGIs and PPIs of one processor."""

    def __init__(self, gic: GicV3, cpu: int) -> None:
        self._gic = gic
        self._cpu = cpu
        super().__init__()

    def _place(self, word: int) -> tuple[InterruptBank, int] | None:
        return (self._gic.private[self._cpu], 0) if word == 0 else None

    def _changed(self) -> None:
        self._gic.update_cpu(self._cpu)


class Redistributor:
    """The two frames of a redistributor as one region of 128 KiB."""

    SIZE: ClassVar[int] = 0x2_0000

    def __init__(
        self, gic: GicV3, control: RedistributorControl, private: PrivateInterrupts
    ) -> None:
        self.whole = gic
        self.control = control
        self.private = private

    def read(self, offset: int, size: int) -> int:
        """Read from the frame that holds ``offset``."""
        if offset >= SGI_FRAME:
            return self.private.read(offset - SGI_FRAME, size)
        return self.control.read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write to the frame that holds ``offset``."""
        if offset >= SGI_FRAME:
            self.private.write(offset - SGI_FRAME, size, value)
        else:
            self.control.write(offset, size, value)

    def decode(self, offset: int, value: int, write: bool) -> tuple[str, dict[str, int]]:
        """Name a register of the frame that holds ``offset``, as `RegisterDevice.decode` does."""
        if offset >= SGI_FRAME:
            return self.private.decode(offset - SGI_FRAME, value, write)
        return self.control.decode(offset, value, write)


class GicV3(Gic):
    """Distributor, redistributors and CPU interfaces of a machine.

    Processor n has affinity 0.0.0.n.

    Args:
        irq_lines: the IRQ inputs of the processors, up to 256.
        interrupts: number of INTIDs, a multiple of 32 up to 1024.

    Attributes:
        distributor: the region GICD.
        redistributors: the regions GICR, by processor.
        cpu_interfaces: the handlers of the system registers, by processor.
        routes: IROUTER of each SPI.
    """

    routes: list[int] = internal([])

    def __init__(self, *, irq_lines: Sequence[InterruptLine], interrupts: int = 128) -> None:
        cpus = range(len(irq_lines))
        self.distributor = Distributor(self)
        self.redistributors = [
            Redistributor(
                self, RedistributorControl(cpu, cpu == len(cpus) - 1), PrivateInterrupts(self, cpu)
            )
            for cpu in cpus
        ]
        self.cpu_interfaces = [CpuInterface(self, cpu) for cpu in cpus]
        super().__init__(irq_lines, interrupts)

    def parts(self) -> tuple[tuple[str, Device], ...]:
        waker = ((f"redistributor{n}", r.control) for n, r in enumerate(self.redistributors))
        interfaces = ((f"interface{n}", part) for n, part in enumerate(self.cpu_interfaces))
        return (*super().parts(), ("distributor", self.distributor), *waker, *interfaces)

    def reset(self) -> None:
        super().reset()
        self.routes = [0] * len(self.shared.priorities)
        self.loaded()

    def loaded(self) -> None:
        for cpu in range(len(self.routed)):
            self.routed[cpu] = sum(1 << bit for bit, to in enumerate(self.routes) if to == cpu)
        self.update()

    def signalled(self, cpu: int) -> bool:
        return self.cpu_interfaces[cpu].signalled()

    def route(self, index: int, affinity: int) -> None:
        """Send SPI number ``index`` to the processor with ``affinity``, or nowhere."""
        self.routes[index] = affinity
        for cpu in range(len(self.routed)):
            bit = 1 << index
            self.routed[cpu] = (
                self.routed[cpu] | bit if cpu == affinity else (self.routed[cpu] & ~bit)
            )
        self.update()

    def send_sgi(self, cpu: int, sgi: int, group_1: bool) -> None:
        """Make ``sgi`` pending at ``cpu``, if it is in that group there."""
        bank = self.private[cpu]
        if bool(bank.group >> sgi & 1) == group_1:
            bank.latched |= 1 << sgi
            self.update_cpu(cpu)
