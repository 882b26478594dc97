"""What versions 2 and 3 of Arm's Generic Interrupt Controller have in common.

IHI 0048B is the manual of version 2, IHI 0069 of version 3. INTIDs 0 to 15 are software-generated
(SGI), 16 to 31 private peripherals' (PPI), both banked for each processor; those from 32 are shared
peripherals' (SPI). There is one security state, and two groups of interrupts.
"""

from __future__ import annotations

from vmm.devices.device import Device, OutputPin, internal
from vmm.devices.registers import W1C, W1S, RegisterArray, RegisterDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar, Final

    from vmm.lines import InterruptLine

PRIVATE: Final = 32
SGIS: Final = 16
MAX_INTERRUPTS: Final = 1020

# Answers of an acknowledge that names no interrupt: one of the other group; none at all.
OTHER_GROUP: Final = 1022
SPURIOUS: Final = 1023

# Five bits of priority, as Arm's own GICs have for one security state; 0 is the highest.
PRIORITY_BITS: Final = 5
PRIORITY_MASK: Final = 0xF8
IDLE_PRIORITY: Final = 0xFF

WORD: Final = 0xFFFF_FFFF
_PRIORITIES: Final = 0x0101_0101 * PRIORITY_MASK


class InterruptBank(Device):
    """The state of adjacent interrupts; bit 0 of each bitmap is ``first_intid``.

    Attributes:
        first_intid: INTID of the first one.
        all: bitmap with all of them.
        enabled: forwarded to processors.
        latched: pending by an edge or by software.
        lines: levels of the inputs.
        active: being serviced.
        edge: edge-triggered; the others are level-sensitive.
        group: in group 1.
        priorities: a byte each.
    """

    enabled = internal(0)
    latched = internal(0)
    lines = internal(0)
    active = internal(0)
    edge = internal(0)
    group = internal(0)
    priorities = internal(bytearray())

    def __init__(self, first_intid: int, count: int) -> None:
        self.first_intid = first_intid
        self.all = (1 << count) - 1
        self._count = count
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.priorities = bytearray(self._count)
        if self.first_intid == 0:
            self.edge = (1 << SGIS) - 1

    def set_line(self, intid: int, level: bool) -> bool:
        """Drive an input; tell whether that was a change."""
        mask = 1 << intid - self.first_intid
        if level == bool(self.lines & mask):
            return False
        self.lines ^= mask
        if level and self.edge & mask:
            self.latched |= mask
        return True

    def pending(self) -> int:
        """Return the bitmap of pending interrupts."""
        return self.latched | self.lines & ~self.edge

    def bitmap(self, name: str) -> int:
        """Return one of the bitmaps."""
        return getattr(self, name)  # type: ignore[no-any-return]

    def set_bitmap(self, name: str, bitmap: int) -> None:
        """Replace one of the bitmaps."""
        setattr(self, name, bitmap)

    def ready(self) -> int:
        """Return the bitmap of interrupts that a processor could take: pending, not yet active."""
        return (self.latched | self.lines & ~self.edge) & self.enabled & ~self.active

    def first(self, candidates: int) -> tuple[int, int]:
        """Return (priority, INTID) of the one of ``candidates`` to be taken first.

        The lower INTID wins between equals. (IDLE_PRIORITY, SPURIOUS) if there is none.
        """
        best = IDLE_PRIORITY, SPURIOUS
        while candidates:
            lowest = candidates & -candidates
            index = lowest.bit_length() - 1
            best = min(best, (self.priorities[index], self.first_intid + index))
            candidates ^= lowest
        return best

    def activate(self, intid: int) -> None:
        """Begin its service: pending to active, or active and pending if its input is a level."""
        mask = 1 << intid - self.first_intid
        self.latched &= ~mask
        self.active |= mask

    def deactivate(self, intid: int) -> None:
        """End its service."""
        self.active &= ~(1 << intid - self.first_intid)


class ActivePriorities(Device):
    """The priorities that a processor is working at: one bit per level, for each group."""

    group_0 = internal(0)
    group_1 = internal(0)

    def running(self) -> int:
        """Return the running priority, IDLE_PRIORITY if there is none."""
        levels = self.group_0 | self.group_1
        if not levels:
            return IDLE_PRIORITY
        return (levels & -levels).bit_length() - 1 << 8 - PRIORITY_BITS

    def raise_to(self, priority: int, in_group_1: bool) -> None:
        """Take on the work of an interrupt with group priority ``priority``."""
        level = 1 << (priority >> 8 - PRIORITY_BITS)
        if in_group_1:
            self.group_1 |= level
        else:
            self.group_0 |= level

    def running_group_1(self) -> bool:
        """Tell whether the running priority is that of an interrupt of group 1."""
        zero, one = self.group_0, self.group_1
        return bool(one) and (not zero or one & -one < zero & -zero)

    def drop(self) -> None:
        """Leave the running priority."""
        if self.running_group_1():
            self.group_1 &= self.group_1 - 1
        elif self.group_0:
            self.group_0 &= self.group_0 - 1


def group_priority(priority: int, binary_point: int) -> int:
    """Return what of ``priority`` counts for preemption: bits 7 to ``binary_point`` + 1."""
    return priority & 0xFF << binary_point + 1 & 0xFF


class Gic(Device):
    """What both versions have: banks of interrupts, wires into them, IRQ lines out of them.

    Args:
        irq_lines: the IRQ inputs of the processors.
        interrupts: number of INTIDs, a multiple of 32 up to 1024.

    Attributes:
        private: SGIs and PPIs, by processor.
        shared: SPIs.
        routed: by processor, the bitmap of SPIs that go there.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("set_shared", "set_private")

    def __init__(self, irq_lines: Sequence[InterruptLine], interrupts: int) -> None:
        if interrupts % 32 or not 2 * PRIVATE <= interrupts <= 1024:
            raise ValueError(f"a GIC has 64 to 1024 interrupts in steps of 32, not {interrupts}")
        self.irq_pins = tuple(OutputPin(line) for line in irq_lines)
        self.interrupts = interrupts
        self.private = [InterruptBank(0, PRIVATE) for _ in self.irq_pins]
        self.shared = InterruptBank(PRIVATE, min(interrupts, MAX_INTERRUPTS) - PRIVATE)
        self.routed = [0 for _ in self.irq_pins]
        super().__init__()

    def parts(self) -> tuple[tuple[str, Device], ...]:
        private = ((f"private{cpu}", bank) for cpu, bank in enumerate(self.private))
        return (("shared", self.shared), *private)

    def line(self, intid: int) -> InterruptLine:
        """Return the wire of SPI ``intid``.

        Raises:
            ValueError: if there is no such SPI.
        """
        if not PRIVATE <= intid < min(self.interrupts, MAX_INTERRUPTS):
            raise ValueError(f"the GIC has no shared peripheral interrupt {intid}")
        return lambda level: self.set_shared(intid, level)

    def private_line(self, cpu: int, intid: int) -> InterruptLine:
        """Return the wire of PPI ``intid`` of processor ``cpu``.

        Raises:
            ValueError: if there is no such PPI.
        """
        if not SGIS <= intid < PRIVATE:
            raise ValueError(f"INTID {intid} is not a private peripheral interrupt")
        return lambda level: self.set_private(cpu, intid, level)

    def set_shared(self, intid: int, level: bool) -> None:
        """Drive the input of SPI ``intid``."""
        if self.shared.set_line(intid, level):
            self.update()

    def set_private(self, cpu: int, intid: int, level: bool) -> None:
        """Drive the input of PPI ``intid`` of processor ``cpu``."""
        if self.private[cpu].set_line(intid, level):
            self.update_cpu(cpu)

    def best(self, cpu: int, groups: int) -> tuple[int, int, bool]:
        """Return (priority, INTID, in group 1) of the one to be taken first at ``cpu``.

        ``groups`` has bit 0 set for group 0, bit 1 for group 1. The INTID is SPURIOUS if there is
        none pending.
        """
        best = IDLE_PRIORITY, SPURIOUS, False
        private, shared = self.private[cpu], self.shared
        for bank, ready in (private, private.ready()), (shared, shared.ready() & self.routed[cpu]):
            if not ready:
                continue
            if groups & 1:
                best = min(best, (*bank.first(ready & ~bank.group), False))
            if groups & 2:
                best = min(best, (*bank.first(ready & bank.group), True))
        return best

    def activate(self, cpu: int, intid: int) -> None:
        """Begin the service of ``intid``, seen from ``cpu``."""
        self._bank_of(cpu, intid).activate(intid)

    def deactivate(self, cpu: int, intid: int) -> None:
        """End the service of ``intid``; nothing if there is no such interrupt."""
        if intid < min(self.interrupts, MAX_INTERRUPTS):
            self._bank_of(cpu, intid).deactivate(intid)

    def signalled(self, cpu: int) -> bool:
        """Tell whether the IRQ input of ``cpu`` is to be asserted."""
        raise NotImplementedError

    def update(self) -> None:
        """Drive all IRQ lines."""
        for cpu in range(len(self.irq_pins)):
            self.update_cpu(cpu)

    def update_cpu(self, cpu: int) -> None:
        """Drive the IRQ line of one processor."""
        self.irq_pins[cpu](self.signalled(cpu))

    def _bank_of(self, cpu: int, intid: int) -> InterruptBank:
        return self.private[cpu] if intid < PRIVATE else self.shared


class InterruptRegisters(RegisterDevice):
    """Registers of interrupt state, at the same offsets in every frame that has them.

    A subclass says which interrupts word ``n`` of a bitmap is about, and what follows from a
    change. The names are the manual's without the prefix GICD_ or GICR_; what belongs to
    interrupts that are not there reads as zero and ignores writes.
    """

    IGROUPR = RegisterArray(0x080, 32, "Interrupt Group")
    ISENABLER = RegisterArray(0x100, 32, "Set-Enable", W1S)
    ICENABLER = RegisterArray(0x180, 32, "Clear-Enable", W1C)
    ISPENDR = RegisterArray(0x200, 32, "Set-Pending", W1S)
    ICPENDR = RegisterArray(0x280, 32, "Clear-Pending", W1C)
    ISACTIVER = RegisterArray(0x300, 32, "Set-Active", W1S)
    ICACTIVER = RegisterArray(0x380, 32, "Clear-Active", W1C)
    IPRIORITYR = RegisterArray(0x400, 255, "Priority, a byte each")
    ICFGR = RegisterArray(0xC00, 64, "Configuration, 2 bits each: 10 edge, 00 level")

    def _place(self, word: int) -> tuple[InterruptBank, int] | None:
        """Return the bank that holds interrupts from ``32 * word``, and their first bit in it."""
        raise NotImplementedError

    def _changed(self) -> None:
        raise NotImplementedError

    def _word(self, word: int, name: str) -> int:
        place = self._place(word)
        if place is None:
            return 0
        bank, shift = place
        return bank.bitmap(name) >> shift & WORD

    def _update(self, word: int, name: str, ones: int, zeros: int) -> None:
        """Set the bits ``ones`` and clear the bits ``zeros`` of a word of a bitmap."""
        place = self._place(word)
        if place is None:
            return
        bank, shift = place
        bitmap = (bank.bitmap(name) | ones << shift) & ~(zeros << shift) & bank.all
        bank.set_bitmap(name, bitmap)
        self._changed()

    @IGROUPR.on_read
    def _read_group(self, word: int) -> int:
        return self._word(word, "group")

    @IGROUPR.on_write
    def _write_group(self, word: int, value: int) -> None:
        self._update(word, "group", value, ~value & WORD)

    @ISENABLER.on_read
    @ICENABLER.on_read
    def _read_enabled(self, word: int) -> int:
        return self._word(word, "enabled")

    @ISENABLER.on_write
    def _enable(self, word: int, value: int) -> None:
        self._update(word, "enabled", value, 0)

    @ICENABLER.on_write
    def _disable(self, word: int, value: int) -> None:
        self._update(word, "enabled", 0, value)

    @ISPENDR.on_read
    @ICPENDR.on_read
    def _read_pending(self, word: int) -> int:
        place = self._place(word)
        return 0 if place is None else place[0].pending() >> place[1] & WORD

    @ISPENDR.on_write
    def _set_pending(self, word: int, value: int) -> None:
        self._update(word, "latched", value, 0)

    @ICPENDR.on_write
    def _clear_pending(self, word: int, value: int) -> None:
        self._update(word, "latched", 0, value)

    @ISACTIVER.on_read
    @ICACTIVER.on_read
    def _read_active(self, word: int) -> int:
        return self._word(word, "active")

    @ISACTIVER.on_write
    def _set_active(self, word: int, value: int) -> None:
        self._update(word, "active", value, 0)

    @ICACTIVER.on_write
    def _clear_active(self, word: int, value: int) -> None:
        self._update(word, "active", 0, value)

    @IPRIORITYR.on_read
    def _read_priorities(self, index: int) -> int:
        place = self._place(index // 8)
        if place is None:
            return 0
        start = place[1] + 4 * (index % 8)
        return int.from_bytes(place[0].priorities[start : start + 4], "little")

    @IPRIORITYR.on_write
    def _write_priorities(self, index: int, value: int) -> None:
        place = self._place(index // 8)
        if place is None:
            return
        start = place[1] + 4 * (index % 8)
        place[0].priorities[start : start + 4] = (value & _PRIORITIES).to_bytes(4, "little")
        self._changed()

    @ICFGR.on_read
    def _read_configuration(self, index: int) -> int:
        edges = self._word(index // 2, "edge") >> 16 * (index % 2)
        return sum(2 << 2 * bit for bit in range(16) if edges >> bit & 1)

    @ICFGR.on_write
    def _write_configuration(self, index: int, value: int) -> None:
        if index == 0:
            return  # SGIs are always edge-triggered
        edges = sum(1 << bit for bit in range(16) if value >> 2 * bit & 2)
        shift = 16 * (index % 2)
        self._update(index // 2, "edge", edges << shift, (~edges & 0xFFFF) << shift)
