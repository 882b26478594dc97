"""Both versions of the GIC behind one set of verbs, so that one test covers what they share."""

from __future__ import annotations

from tests.vmm.devices.parts import Wire
from vmm.devices.gicv2 import GicV2
from vmm.devices.gicv3 import GicV3

SPURIOUS = 1023

IGROUPR, ISENABLER, ICENABLER, ISPENDR, ICPENDR = 0x080, 0x100, 0x180, 0x200, 0x280
ISACTIVER, ICACTIVER, IPRIORITYR, ICFGR = 0x300, 0x380, 0x400, 0xC00


class Harness:
    """A GIC with all groups enabled and nothing masked, as a kernel sees it."""

    gic: GicV2 | GicV3

    def __init__(self, cpus: int) -> None:
        self.cpu = 0
        self.irq = [Wire() for _ in range(cpus)]

    def write_state(self, offset: int, intid: int, value: int, size: int = 4) -> None:
        raise NotImplementedError

    def read_state(self, offset: int, intid: int, size: int = 4) -> int:
        raise NotImplementedError

    def acknowledge(self) -> int:
        raise NotImplementedError

    def end(self, intid: int) -> None:
        raise NotImplementedError

    def deactivate(self, intid: int) -> None:
        raise NotImplementedError

    def set_mask(self, priority: int) -> None:
        raise NotImplementedError

    def running(self) -> int:
        raise NotImplementedError

    def highest_pending(self) -> int:
        raise NotImplementedError

    def set_eoi_mode(self, split: bool) -> None:
        raise NotImplementedError

    def set_binary_point(self, point: int) -> None:
        raise NotImplementedError

    # ---- Verbs made of these ----

    def set_bit(self, register: int, intid: int) -> None:
        self.write_state(register + intid // 32 * 4, intid, 1 << intid % 32)

    def bit(self, register: int, intid: int) -> bool:
        return bool(self.read_state(register + intid // 32 * 4, intid) >> intid % 32 & 1)

    def enable(self, *intids: int) -> None:
        for intid in intids:
            self.set_bit(ISENABLER, intid)

    def set_priority(self, intid: int, priority: int) -> None:
        self.write_state(IPRIORITYR + intid, intid, priority, 1)

    def priority(self, intid: int) -> int:
        return self.read_state(IPRIORITYR + intid, intid, 1)

    def set_edge(self, intid: int, edge: bool) -> None:
        offset = ICFGR + intid // 16 * 4
        shift = 2 * (intid % 16)
        old = self.read_state(offset, intid) & ~(3 << shift)
        self.write_state(offset, intid, old | edge << shift + 1)

    def drive(self, intid: int, level: bool) -> None:
        if intid < 32:
            self.gic.private_line(self.cpu, intid)(level)
        else:
            self.gic.line(intid)(level)

    @property
    def signalled(self) -> bool:
        return self.irq[self.cpu].level


class V2(Harness):
    gic: GicV2

    def __init__(self, cpus: int = 1) -> None:
        super().__init__(cpus)
        self.gic = GicV2(irq_lines=self.irq, current_cpu=lambda: self.cpu)
        self.gic.distributor.write(0, 4, 3)
        for self.cpu in reversed(range(cpus)):
            self.write(0, 3)
            self.write(4, 0xF8)

    def read(self, offset: int) -> int:
        return self.gic.cpu_interface.read(offset, 4)

    def write(self, offset: int, value: int) -> None:
        self.gic.cpu_interface.write(offset, 4, value)

    def write_state(self, offset: int, intid: int, value: int, size: int = 4) -> None:
        self.gic.distributor.write(offset, size, value)

    def read_state(self, offset: int, intid: int, size: int = 4) -> int:
        return self.gic.distributor.read(offset, size)

    def acknowledge(self) -> int:
        return self.read(0x0C)

    def end(self, intid: int) -> None:
        self.write(0x10, intid)

    def deactivate(self, intid: int) -> None:
        self.write(0x1000, intid)

    def set_mask(self, priority: int) -> None:
        self.write(0x04, priority)

    def running(self) -> int:
        return self.read(0x14)

    def highest_pending(self) -> int:
        return self.read(0x18)

    def set_eoi_mode(self, split: bool) -> None:
        self.write(0x00, 3 | split << 9)

    def set_binary_point(self, point: int) -> None:
        self.write(0x08, point)


PMR = (3, 0, 4, 6, 0)
IAR0, EOIR0, HPPIR0, BPR0 = (3, 0, 12, 8, 0), (3, 0, 12, 8, 1), (3, 0, 12, 8, 2), (3, 0, 12, 8, 3)
AP0R0, AP1R0 = (3, 0, 12, 8, 4), (3, 0, 12, 9, 0)
DIR, RPR = (3, 0, 12, 11, 1), (3, 0, 12, 11, 3)
SGI1R, ASGI1R, SGI0R = (3, 0, 12, 11, 5), (3, 0, 12, 11, 6), (3, 0, 12, 11, 7)
IAR1, EOIR1 = (3, 0, 12, 12, 0), (3, 0, 12, 12, 1)
HPPIR1, BPR1 = (3, 0, 12, 12, 2), (3, 0, 12, 12, 3)
CTLR, SRE = (3, 0, 12, 12, 4), (3, 0, 12, 12, 5)
IGRPEN0, IGRPEN1 = (3, 0, 12, 12, 6), (3, 0, 12, 12, 7)


class V3(Harness):
    """A GICv3 with all interrupts in group 1."""

    gic: GicV3

    def __init__(self, cpus: int = 1) -> None:
        super().__init__(cpus)
        self.gic = GicV3(irq_lines=self.irq)
        self.gic.distributor.write(0, 4, 3)
        for word in range(1, 4):
            self.gic.distributor.write(IGROUPR + 4 * word, 4, 0xFFFF_FFFF)
        for self.cpu in reversed(range(cpus)):
            self.gic.redistributors[self.cpu].write(0x1_0000 + IGROUPR, 4, 0xFFFF_FFFF)
            self.write(IGRPEN1, 1)
            self.write(PMR, 0xF8)

    def read(self, register: tuple[int, int, int, int, int]) -> int:
        return self.gic.cpu_interfaces[self.cpu].read_register(register)

    def write(self, register: tuple[int, int, int, int, int], value: int) -> None:
        self.gic.cpu_interfaces[self.cpu].write_register(register, value)

    def write_state(self, offset: int, intid: int, value: int, size: int = 4) -> None:
        if intid < 32:
            self.gic.redistributors[self.cpu].write(0x1_0000 + offset, size, value)
        else:
            self.gic.distributor.write(offset, size, value)

    def read_state(self, offset: int, intid: int, size: int = 4) -> int:
        if intid < 32:
            return self.gic.redistributors[self.cpu].read(0x1_0000 + offset, size)
        return self.gic.distributor.read(offset, size)

    def acknowledge(self) -> int:
        return self.read(IAR1)

    def end(self, intid: int) -> None:
        self.write(EOIR1, intid)

    def deactivate(self, intid: int) -> None:
        self.write(DIR, intid)

    def set_mask(self, priority: int) -> None:
        self.write(PMR, priority)

    def running(self) -> int:
        return self.read(RPR)

    def highest_pending(self) -> int:
        return self.read(HPPIR1)

    def set_eoi_mode(self, split: bool) -> None:
        self.write(CTLR, split << 1)

    def set_binary_point(self, point: int) -> None:
        self.write(BPR1, point + 1)
