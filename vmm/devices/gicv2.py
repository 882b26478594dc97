"""Arm's Generic Interrupt Controller version 2, as in the GIC-400 (IHI 0048B, DDI 0471).

Without security extensions: one state, two groups of interrupts. FIQs have nowhere to go, so that
group 0 interrupts with GICC_CTLR.FIQEn are IRQs all the same.
"""

from __future__ import annotations

from vmm.devices.device import Device, internal
from vmm.devices.gic import (
    MAX_INTERRUPTS,
    OTHER_GROUP,
    PRIVATE,
    SGIS,
    SPURIOUS,
    ActivePriorities,
    Gic,
    InterruptBank,
    InterruptRegisters,
    group_priority,
)
from vmm.devices.registers import (
    RO,
    UNMODELLED,
    W1C,
    W1S,
    WO,
    Register,
    RegisterArray,
    RegisterDevice,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import ClassVar, Final

    from vmm.lines import InterruptLine

MAX_CPUS: Final = 8

# The GIC-400's: part 0x90, architecture version 2; implementer Arm.
DISTRIBUTOR_IIDR: Final = 0x0200_143B
CPU_INTERFACE_IIDR: Final = 0x0202_143B
PERIPHERAL_ID: Final = (0x04, 0, 0, 0, 0x90, 0xB4, 0x2B, 0x00)
COMPONENT_ID: Final = (0x0D, 0xF0, 0x05, 0xB1)

# The smallest binary point that five bits of priority can use.
MIN_BINARY_POINT: Final = 2

INTID: Final = 0x3FF
ALL_SGIS: Final = (1 << SGIS) - 1


class Distributor(InterruptRegisters):
    """The distributor: a region of 4 KiB. Names are the manual's without the prefix GICD_."""

    SIZE: ClassVar[int] = 0x1000

    CTLR = Register(0x000, "Distributor Control")
    CTLR_ENABLE_GRP1 = CTLR.bit(1, "forward interrupts of group 1")
    CTLR_ENABLE_GRP0 = CTLR.bit(0, "forward interrupts of group 0")
    TYPER = Register(0x004, "Interrupt Controller Type", RO)
    TYPER_SECURITY_EXTN = TYPER.bit(10, "security extensions")
    TYPER_CPU_NUMBER = TYPER.bits(7, 5, "number of processors - 1")
    TYPER_IT_LINES_NUMBER = TYPER.bits(4, 0, "number of INTIDs / 32 - 1")
    IIDR = Register(0x008, "Implementer Identification", RO, reset=DISTRIBUTOR_IIDR)

    ITARGETSR = RegisterArray(0x800, 255, "Processor Targets, a byte each")
    SGIR = Register(0xF00, "Software Generated Interrupt", WO)
    SGIR_TARGET_LIST_FILTER = SGIR.bits(25, 24, "0 the list, 1 all others, 2 oneself")
    SGIR_CPU_TARGET_LIST = SGIR.bits(23, 16, "processors")
    SGIR_NSATT = SGIR.bit(15, "security attribute", UNMODELLED)
    SGIR_INTID = SGIR.bits(3, 0, "INTID")
    CPENDSGIR = RegisterArray(0xF10, 4, "SGI Clear-Pending: a bit for each sender", W1C)
    SPENDSGIR = RegisterArray(0xF20, 4, "SGI Set-Pending: a bit for each sender", W1S)
    PIDR = RegisterArray(0xFD0, 8, "Peripheral Identification 4 to 7, 0 to 3", RO)
    CIDR = RegisterArray(0xFF0, 4, "Component Identification", RO)

    def __init__(self, gic: GicV2) -> None:
        self._gic = self.whole = gic
        super().__init__()

    def _place(self, word: int) -> tuple[InterruptBank, int] | None:
        gic = self._gic
        if word == 0:
            return gic.private[gic.current_cpu()], 0
        shift = PRIVATE * (word - 1)
        return (gic.shared, shift) if gic.shared.all >> shift else None

    @CTLR.after_write
    def _changed(self) -> None:
        self._gic.update()

    @TYPER.on_read
    def _read_typer(self) -> int:
        gic = self._gic
        return self.TYPER_CPU_NUMBER.put(len(gic.private) - 1) | gic.interrupts // 32 - 1

    # SGIs are always enabled, as in the GIC-400, and made pending by their senders only.

    def _enable(self, word: int, value: int) -> None:
        super()._enable(word, _without_sgis(word, value))

    def _disable(self, word: int, value: int) -> None:
        super()._disable(word, _without_sgis(word, value))

    def _set_pending(self, word: int, value: int) -> None:
        super()._set_pending(word, _without_sgis(word, value))

    def _clear_pending(self, word: int, value: int) -> None:
        super()._clear_pending(word, _without_sgis(word, value))

    @ITARGETSR.on_read
    def _read_targets(self, index: int) -> int:
        gic = self._gic
        if len(gic.private) == 1:
            return 0  # with one processor there is nothing to choose
        if index < PRIVATE // 4:
            return 0x0101_0101 << gic.current_cpu()
        start = 4 * index - PRIVATE
        return int.from_bytes(gic.targets[start : start + 4], "little")

    @ITARGETSR.on_write
    def _write_targets(self, index: int, value: int) -> None:
        gic = self._gic
        start = 4 * index - PRIVATE
        if len(gic.private) == 1 or not 0 <= start < len(gic.targets):
            return
        cpus = 0x0101_0101 * ((1 << len(gic.private)) - 1)
        gic.targets[start : start + 4] = (value & cpus).to_bytes(4, "little")
        gic.route()

    @SGIR.on_write
    def _send(self, value: int) -> None:
        gic = self._gic
        me = 1 << gic.current_cpu()
        choice = self.SGIR_TARGET_LIST_FILTER.of(value)
        everyone = (1 << len(gic.private)) - 1
        lists = (self.SGIR_CPU_TARGET_LIST.of(value) & everyone, everyone & ~me, me, 0)
        for cpu in range(len(gic.private)):
            if lists[choice] >> cpu & 1:
                gic.set_senders(cpu, value & self.SGIR_INTID, me, 0)
        gic.update()

    @CPENDSGIR.on_read
    @SPENDSGIR.on_read
    def _read_senders(self, index: int) -> int:
        senders = self._gic.interfaces[self._gic.current_cpu()].senders
        return int.from_bytes(senders[4 * index : 4 * index + 4], "little")

    @CPENDSGIR.on_write
    def _clear_senders(self, index: int, value: int) -> None:
        cpu = self._gic.current_cpu()
        for byte in range(4):
            self._gic.set_senders(cpu, 4 * index + byte, 0, value >> 8 * byte & 0xFF)
        self._gic.update()

    @SPENDSGIR.on_write
    def _add_senders(self, index: int, value: int) -> None:
        cpu = self._gic.current_cpu()
        everyone = (1 << len(self._gic.private)) - 1
        for byte in range(4):
            senders = value >> 8 * byte & everyone
            self._gic.set_senders(cpu, 4 * index + byte, senders, 0)
        self._gic.update()

    @PIDR.on_read
    def _read_pidr(self, index: int) -> int:
        return PERIPHERAL_ID[index]

    @CIDR.on_read
    def _read_cidr(self, index: int) -> int:
        return COMPONENT_ID[index]


class CpuInterface(RegisterDevice):
    """One processor's interface: a region of 8 KiB. Names are without the prefix GICC_.

    Attributes:
        senders: for each SGI, the set of processors whose request is pending.
    """

    SIZE: ClassVar[int] = 0x2000

    CTLR = Register(0x0000, "CPU Interface Control")
    CTLR_EOI_MODE = CTLR.bit(9, "EOIR drops the priority only, DIR deactivates")
    CTLR_BYPASS = CTLR.bits(8, 5, "bypass of the legacy interrupt signals", UNMODELLED)
    CTLR_CBPR = CTLR.bit(4, "BPR holds for group 1 too")
    CTLR_FIQ_EN = CTLR.bit(3, "group 0 by FIQ", UNMODELLED)
    CTLR_ACK_CTL = CTLR.bit(2, "IAR acknowledges group 1 too")
    CTLR_ENABLE_GRP1 = CTLR.bit(1, "signal interrupts of group 1")
    CTLR_ENABLE_GRP0 = CTLR.bit(0, "signal interrupts of group 0")
    PMR = Register(0x0004, "Interrupt Priority Mask")
    PMR_PRIORITY = PMR.bits(7, 3, "only higher priorities (lower numbers) are signalled")
    BPR = Register(0x0008, "Binary Point", reset=MIN_BINARY_POINT)
    BPR_POINT = BPR.bits(2, 0, "of group 0")
    IAR = Register(0x000C, "Interrupt Acknowledge", RO)
    IAR_CPUID = IAR.bits(12, 10, "sender of an SGI")
    IAR_INTID = IAR.bits(9, 0, "INTID")
    EOIR = Register(0x0010, "End Of Interrupt", WO)
    EOIR_CPUID = EOIR.bits(12, 10, "sender of an SGI")
    EOIR_INTID = EOIR.bits(9, 0, "INTID")
    RPR = Register(0x0014, "Running Priority", RO)
    HPPIR = Register(0x0018, "Highest Priority Pending Interrupt", RO)
    ABPR = Register(0x001C, "Aliased Binary Point", reset=MIN_BINARY_POINT + 1)
    ABPR_POINT = ABPR.bits(2, 0, "of group 1")
    AIAR = Register(0x0020, "Aliased Interrupt Acknowledge: group 1", RO)
    AEOIR = Register(0x0024, "Aliased End Of Interrupt: group 1", WO)
    AHPPIR = Register(0x0028, "Aliased Highest Priority Pending Interrupt: group 1", RO)
    APR = Register(0x00D0, "Active Priorities of group 0, a bit for each level")
    NSAPR = Register(0x00E0, "Active Priorities of group 1, a bit for each level")
    IIDR = Register(0x00FC, "CPU Interface Identification", RO, reset=CPU_INTERFACE_IIDR)
    DIR = Register(0x1000, "Deactivate Interrupt", WO)
    DIR_CPUID = DIR.bits(12, 10, "sender of an SGI")
    DIR_INTID = DIR.bits(9, 0, "INTID")

    senders = internal(bytearray(SGIS))

    def __init__(self, gic: GicV2, cpu: int) -> None:
        self._gic = gic
        self._cpu = cpu
        self.active = ActivePriorities()
        super().__init__()

    def parts(self) -> tuple[tuple[str, Device], ...]:
        return (("active", self.active),)

    def signalled(self) -> bool:
        """Tell whether the IRQ input is to be asserted."""
        priority, intid, group_1 = self._best()
        return intid != SPURIOUS and self._preempts(priority, group_1)

    # ---- Registers ----

    @CTLR.after_write
    @PMR.after_write
    def _control_changed(self) -> None:
        self._gic.update_cpu(self._cpu)

    @BPR.after_write
    @ABPR.after_write
    def _limit_binary_points(self) -> None:
        self.BPR = max(self.BPR, MIN_BINARY_POINT)
        self.ABPR = max(self.ABPR, MIN_BINARY_POINT + 1)
        self._gic.update_cpu(self._cpu)

    @IAR.on_read
    def _acknowledge(self) -> int:
        priority, intid, group_1 = self._best()
        if intid == SPURIOUS or not self._preempts(priority, group_1):
            return SPURIOUS
        if group_1 and not self.CTLR & self.CTLR_ACK_CTL:
            return OTHER_GROUP
        return self._take(priority, intid, group_1)

    @AIAR.on_read
    def _acknowledge_group_1(self) -> int:
        priority, intid, group_1 = self._best()
        if intid == SPURIOUS or not group_1 or not self._preempts(priority, group_1):
            return SPURIOUS
        return self._take(priority, intid, group_1)

    @EOIR.on_write
    @AEOIR.on_write
    def _end(self, value: int) -> None:
        if value & INTID >= MAX_INTERRUPTS:
            return
        self.active.drop()
        if not self.CTLR & self.CTLR_EOI_MODE:
            self._gic.deactivate(self._cpu, value & INTID)
        # A shared one may be pending again, at other processors too.
        self._gic.update()

    @DIR.on_write
    def _deactivate(self, value: int) -> None:
        if self.CTLR & self.CTLR_EOI_MODE:
            self._gic.deactivate(self._cpu, value & INTID)
            self._gic.update()

    @RPR.on_read
    def _running(self) -> int:
        return self.active.running()

    @HPPIR.on_read
    def _highest_pending(self) -> int:
        _, intid, group_1 = self._best()
        if group_1 and not self.CTLR & self.CTLR_ACK_CTL:
            return OTHER_GROUP
        return self._with_sender(intid)

    @AHPPIR.on_read
    def _highest_pending_group_1(self) -> int:
        _, intid, group_1 = self._best()
        return self._with_sender(intid) if group_1 else SPURIOUS

    @APR.on_read
    def _read_apr(self) -> int:
        return self.active.group_0

    @APR.on_write
    def _write_apr(self, value: int) -> None:
        self.active.group_0 = value
        self._gic.update_cpu(self._cpu)

    @NSAPR.on_read
    def _read_nsapr(self) -> int:
        return self.active.group_1

    @NSAPR.on_write
    def _write_nsapr(self, value: int) -> None:
        self.active.group_1 = value
        self._gic.update_cpu(self._cpu)

    # ---- Inside ----

    def _best(self) -> tuple[int, int, bool]:
        groups = self._gic.distributor.CTLR & self.CTLR
        return self._gic.best(self._cpu, groups & (self.CTLR_ENABLE_GRP0 | self.CTLR_ENABLE_GRP1))

    def _group_priority(self, priority: int, group_1: bool) -> int:
        if group_1 and not self.CTLR & self.CTLR_CBPR:
            return group_priority(priority, self.ABPR - 1)
        return group_priority(priority, self.BPR)

    def _preempts(self, priority: int, group_1: bool) -> bool:
        if priority >= self.PMR:
            return False
        return self._group_priority(priority, group_1) < self.active.running()

    def _take(self, priority: int, intid: int, group_1: bool) -> int:
        answer = self._with_sender(intid)
        self.active.raise_to(self._group_priority(priority, group_1), group_1)
        self._gic.activate(self._cpu, intid)
        if intid < SGIS:
            # One request is taken; those of other senders stay pending.
            self._gic.set_senders(self._cpu, intid, 0, 1 << self.IAR_CPUID.of(answer))
        self._gic.update()
        return answer

    def _with_sender(self, intid: int) -> int:
        if intid >= SGIS:
            return intid
        senders = self.senders[intid]
        return intid | self.IAR_CPUID.put((senders & -senders).bit_length() - 1)


class CpuInterfaceWindow:
    """The region behind which each processor finds its own interface."""

    def __init__(self, gic: GicV2) -> None:
        self._gic = self.whole = gic

    def read(self, offset: int, size: int) -> int:
        """Read a register of the processor that asks."""
        return self._gic.interfaces[self._gic.current_cpu()].read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register of the processor that asks."""
        self._gic.interfaces[self._gic.current_cpu()].write(offset, size, value)

    def decode(self, offset: int, value: int, write: bool) -> tuple[str, dict[str, int]]:
        """Name a register of the processor that asks, as `RegisterDevice.decode` does."""
        return self._gic.interfaces[self._gic.current_cpu()].decode(offset, value, write)


class GicV2(Gic):
    """Distributor and CPU interfaces of a machine.

    Args:
        irq_lines: the IRQ inputs of the processors, up to 8.
        interrupts: number of INTIDs, a multiple of 32 up to 1024.
        current_cpu: tells which processor makes the access under way.

    Attributes:
        distributor: the region GICD.
        cpu_interface: the region GICC.
        interfaces: the interfaces behind it, by processor.
        targets: ITARGETSR, a byte for each SPI.
    """

    SOURCES: ClassVar[tuple[str, ...]] = ("current_cpu",)

    targets = internal(bytearray())

    def __init__(
        self,
        *,
        irq_lines: Sequence[InterruptLine],
        interrupts: int = 128,
        current_cpu: Callable[[], int] = lambda: 0,
    ) -> None:
        if len(irq_lines) > MAX_CPUS:
            raise ValueError(f"a GICv2 has at most {MAX_CPUS} processors")
        self.current_cpu = current_cpu
        self.distributor = Distributor(self)
        self.interfaces = [CpuInterface(self, cpu) for cpu in range(len(irq_lines))]
        self.cpu_interface = CpuInterfaceWindow(self)
        super().__init__(irq_lines, interrupts)

    def parts(self) -> tuple[tuple[str, Device], ...]:
        interfaces = ((f"interface{cpu}", part) for cpu, part in enumerate(self.interfaces))
        return (*super().parts(), ("distributor", self.distributor), *interfaces)

    def reset(self) -> None:
        super().reset()
        for bank in self.private:
            bank.enabled = ALL_SGIS
        self.targets = bytearray(len(self.shared.priorities))
        self.route()

    def loaded(self) -> None:
        self.route()

    def signalled(self, cpu: int) -> bool:
        return self.interfaces[cpu].signalled()

    def set_senders(self, cpu: int, sgi: int, add: int, remove: int) -> None:
        """Change the set of processors whose request for ``sgi`` is pending at ``cpu``."""
        senders = self.interfaces[cpu].senders
        senders[sgi] = (senders[sgi] | add) & ~remove
        bank = self.private[cpu]
        mask = 1 << sgi
        bank.latched = bank.latched | mask if senders[sgi] else bank.latched & ~mask

    def route(self) -> None:
        """Take over the targets of the SPIs; a single processor is the target of all."""
        if len(self.private) == 1:
            self.routed[0] = self.shared.all
        else:
            for cpu in range(len(self.private)):
                self.routed[cpu] = sum(
                    1 << bit for bit, target in enumerate(self.targets) if target >> cpu & 1
                )
        self.update()


def _without_sgis(word: int, value: int) -> int:
    return value & ~ALL_SGIS if word == 0 else value
