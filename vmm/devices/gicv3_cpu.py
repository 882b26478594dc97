"""The CPU interface of a GICv3: system registers ICC_*_EL1 (IHI 0069, 12.2)."""

from __future__ import annotations

from vmm.devices.device import Device
from vmm.devices.gic import (
    MAX_INTERRUPTS,
    PRIORITY_BITS,
    SGIS,
    SPURIOUS,
    ActivePriorities,
    group_priority,
)
from vmm.devices.registers import RO, WO, Register, RegisterDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final

    from vmm.devices.gicv3 import GicV3
    from vmm.devices.gicv3_encodings import Encoding

INTID: Final = 0xFF_FFFF

# The smallest binary points that five bits of priority can use, of group 0 and 1.
MIN_POINT_0: Final = 7 - PRIORITY_BITS
MIN_POINT_1: Final = MIN_POINT_0 + 1


def system_register(op0: int, op1: int, crn: int, crm: int, op2: int) -> int:
    """Return the place of a system register in a register map: its encoding in MRS, times 8."""
    return (op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2) * 8


class CpuInterface(RegisterDevice, width=64, sizes=(8,)):
    """One processor's interface; a `SystemRegisterHandler`. Names lack ICC_ and _EL1.

    Attributes:
        active: the priorities at work.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("read_register", "write_register")

    PMR = Register(system_register(3, 0, 4, 6, 0), "Priority Mask")
    PMR_PRIORITY = PMR.bits(7, 3, "only higher priorities (lower numbers) are signalled")
    IAR0 = Register(system_register(3, 0, 12, 8, 0), "Interrupt Acknowledge, group 0", RO)
    EOIR0 = Register(system_register(3, 0, 12, 8, 1), "End Of Interrupt, group 0", WO)
    HPPIR0 = Register(system_register(3, 0, 12, 8, 2), "Highest Priority Pending, group 0", RO)
    BPR0 = Register(system_register(3, 0, 12, 8, 3), "Binary Point, group 0", reset=MIN_POINT_0)
    BPR0_POINT = BPR0.bits(2, 0, "binary point")
    AP0R0 = Register(system_register(3, 0, 12, 8, 4), "Active Priorities, group 0")
    AP1R0 = Register(system_register(3, 0, 12, 9, 0), "Active Priorities, group 1")
    DIR = Register(system_register(3, 0, 12, 11, 1), "Deactivate Interrupt", WO)
    RPR = Register(system_register(3, 0, 12, 11, 3), "Running Priority", RO)
    SGI1R = Register(system_register(3, 0, 12, 11, 5), "Send an SGI of group 1", WO)
    SGI1R_AFF3 = SGI1R.bits(55, 48, "affinity level 3")
    SGI1R_RS = SGI1R.bits(47, 44, "the list starts at affinity 16 * RS")
    SGI1R_IRM = SGI1R.bit(40, "to all but oneself")
    SGI1R_AFF2 = SGI1R.bits(39, 32, "affinity level 2")
    SGI1R_INTID = SGI1R.bits(27, 24, "INTID")
    SGI1R_AFF1 = SGI1R.bits(23, 16, "affinity level 1")
    SGI1R_TARGET_LIST = SGI1R.bits(15, 0, "set of affinities at level 0")
    ASGI1R = Register(system_register(3, 0, 12, 11, 6), "Send an SGI of the other state", WO)
    SGI0R = Register(system_register(3, 0, 12, 11, 7), "Send an SGI of group 0", WO)
    IAR1 = Register(system_register(3, 0, 12, 12, 0), "Interrupt Acknowledge, group 1", RO)
    EOIR1 = Register(system_register(3, 0, 12, 12, 1), "End Of Interrupt, group 1", WO)
    HPPIR1 = Register(system_register(3, 0, 12, 12, 2), "Highest Priority Pending, group 1", RO)
    BPR1 = Register(system_register(3, 0, 12, 12, 3), "Binary Point, group 1", reset=MIN_POINT_1)
    BPR1_POINT = BPR1.bits(2, 0, "binary point; BPR0 + 1 if CTLR.CBPR is set")
    CTLR = Register(system_register(3, 0, 12, 12, 4), "Control", reset=0x4_0400)
    CTLR_RSS = CTLR.bit(18, "SGIs reach affinity 0 of 16 and up", RO)
    CTLR_PRI_BITS = CTLR.bits(10, 8, "bits of priority - 1", RO)
    CTLR_EOI_MODE = CTLR.bit(1, "EOIR drops the priority only, DIR deactivates")
    CTLR_CBPR = CTLR.bit(0, "BPR0 holds for group 1 too")
    SRE = Register(system_register(3, 0, 12, 12, 5), "System Register Enable", RO, reset=0x7)
    SRE_DIB = SRE.bit(2, "no IRQ bypass")
    SRE_DFB = SRE.bit(1, "no FIQ bypass")
    SRE_SRE = SRE.bit(0, "system registers are enabled")
    IGRPEN0 = Register(system_register(3, 0, 12, 12, 6), "Interrupt Group 0 Enable")
    IGRPEN0_ENABLE = IGRPEN0.bit(0, "enabled")
    IGRPEN1 = Register(system_register(3, 0, 12, 12, 7), "Interrupt Group 1 Enable")
    IGRPEN1_ENABLE = IGRPEN1.bit(0, "enabled")

    STATE_VERSION: ClassVar[int] = 2

    def __init__(self, gic: GicV3, cpu: int) -> None:
        self._gic = gic
        self._cpu = cpu
        self.active = ActivePriorities()
        super().__init__()

    def parts(self) -> tuple[tuple[str, Device], ...]:
        return (("active", self.active),)

    @classmethod
    def encodings(cls) -> tuple[Encoding, ...]:
        """Return the encodings of all its registers."""
        return tuple(_encoding(register.offset // 8) for register in cls.registers.values())

    def read_register(self, encoding: Encoding) -> int:
        """Read the register with this encoding; 0 if it is not one of `encodings`."""
        return self.read(system_register(*encoding), 8)

    def write_register(self, encoding: Encoding, value: int) -> None:
        """Write the register with this encoding, if it is one of `encodings`."""
        self.write(system_register(*encoding), 8, value)

    def signalled(self) -> bool:
        """Tell whether the IRQ input is to be asserted: group 1 only."""
        priority, intid, group_1 = self._best()
        return group_1 and intid != SPURIOUS and self._preempts(priority, True)

    # ---- Registers ----

    @PMR.after_write
    @CTLR.after_write
    @IGRPEN0.after_write
    @IGRPEN1.after_write
    def _control_changed(self) -> None:
        self._gic.update_cpu(self._cpu)

    @BPR0.after_write
    def _limit_point_0(self) -> None:
        self.BPR0 = max(self.BPR0, MIN_POINT_0)
        self._gic.update_cpu(self._cpu)

    @BPR1.on_read
    def _read_point_1(self) -> int:
        return min(self.BPR0 + 1, 7) if self.CTLR & self.CTLR_CBPR else self.BPR1

    @BPR1.on_write
    def _write_point_1(self, value: int) -> None:
        if not self.CTLR & self.CTLR_CBPR:
            self.BPR1 = max(value & self.BPR1_POINT, MIN_POINT_1)
            self._gic.update_cpu(self._cpu)

    @IAR0.on_read
    def _acknowledge_0(self) -> int:
        return self._acknowledge(False)

    @IAR1.on_read
    def _acknowledge_1(self) -> int:
        return self._acknowledge(True)

    @EOIR0.on_write
    def _end_0(self, value: int) -> None:
        self._end(value & INTID, False)

    @EOIR1.on_write
    def _end_1(self, value: int) -> None:
        self._end(value & INTID, True)

    @HPPIR0.on_read
    def _highest_pending_0(self) -> int:
        _, intid, group_1 = self._best()
        return SPURIOUS if group_1 else intid

    @HPPIR1.on_read
    def _highest_pending_1(self) -> int:
        _, intid, group_1 = self._best()
        return intid if group_1 else SPURIOUS

    @DIR.on_write
    def _deactivate(self, value: int) -> None:
        if self.CTLR & self.CTLR_EOI_MODE:
            self._gic.deactivate(self._cpu, value & INTID)
            self._gic.update()

    @RPR.on_read
    def _running(self) -> int:
        return self.active.running()

    @AP0R0.on_read
    def _read_active_0(self) -> int:
        return self.active.group_0

    @AP0R0.on_write
    def _write_active_0(self, value: int) -> None:
        self.active.group_0 = value & 0xFFFF_FFFF
        self._gic.update_cpu(self._cpu)

    @AP1R0.on_read
    def _read_active_1(self) -> int:
        return self.active.group_1

    @AP1R0.on_write
    def _write_active_1(self, value: int) -> None:
        self.active.group_1 = value & 0xFFFF_FFFF
        self._gic.update_cpu(self._cpu)

    @SGI1R.on_write
    def _send_1(self, value: int) -> None:
        self._send(value, True)

    # Of security states there is one: what is not its group 1 is group 0.
    @ASGI1R.on_write
    @SGI0R.on_write
    def _send_0(self, value: int) -> None:
        self._send(value, False)

    # ---- Inside ----

    def _best(self) -> tuple[int, int, bool]:
        enabled = self.IGRPEN0 | self.IGRPEN1 << 1
        return self._gic.best(self._cpu, enabled & self._gic.distributor.CTLR)

    def _group_priority(self, priority: int, group_1: bool) -> int:
        if group_1 and not self.CTLR & self.CTLR_CBPR:
            return group_priority(priority, self.BPR1 - 1)
        return group_priority(priority, self.BPR0)

    def _preempts(self, priority: int, group_1: bool) -> bool:
        if priority >= self.PMR:
            return False
        return self._group_priority(priority, group_1) < self.active.running()

    def _acknowledge(self, group_1: bool) -> int:
        priority, intid, its_group_1 = self._best()
        if intid == SPURIOUS or its_group_1 != group_1 or not self._preempts(priority, group_1):
            return SPURIOUS
        self.active.raise_to(self._group_priority(priority, group_1), group_1)
        self._gic.activate(self._cpu, intid)
        self._gic.update()
        return intid

    def _end(self, intid: int, group_1: bool) -> None:
        # What does not match the interrupt at work is unpredictable; here it has no effect.
        if intid >= MAX_INTERRUPTS or self.active.running_group_1() != group_1:
            return
        self.active.drop()
        if not self.CTLR & self.CTLR_EOI_MODE:
            self._gic.deactivate(self._cpu, intid)
        self._gic.update()

    def _send(self, value: int, group_1: bool) -> None:
        sgi = self.SGI1R_INTID.of(value)
        cpus = len(self._gic.private)
        if value & self.SGI1R_IRM:
            targets = [cpu for cpu in range(cpus) if cpu != self._cpu]
        elif value & (self.SGI1R_AFF3 | self.SGI1R_AFF2 | self.SGI1R_AFF1):
            return
        else:
            first = self.SGI1R_RS.of(value) * SGIS
            targets = [first + n for n in range(16) if value >> n & 1 and first + n < cpus]
        for cpu in targets:
            self._gic.send_sgi(cpu, sgi, group_1)


def _encoding(number: int) -> Encoding:
    return number >> 14, number >> 11 & 7, number >> 7 & 15, number >> 3 & 15, number & 7
