"""The two 8259A interrupt controllers of a PC, cascaded, with the edge/level registers (ELCR).

The master takes IRQ 0 to 7, the slave 8 to 15; the slave's output is the master's input 2.
Deviation, as in every other virtual PC: an edge is remembered until it is acknowledged even if the
line falls before, where the chip would deliver a spurious interrupt 7.
"""

from __future__ import annotations

from vmm.devices.device import Device, OutputPin, internal
from vmm.devices.registers import RO, UNMODELLED, WO, Register, RegisterDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Final

    from vmm.lines import InterruptLine

CASCADE: Final = 2
SPURIOUS: Final = 7

# The initialization command words that the data port expects next; "" means OCW1.
ICW2: Final = "ICW2"
ICW3: Final = "ICW3"
ICW4: Final = "ICW4"

# Inputs that are edge-triggered whatever is written to ELCR: timer, keyboard, cascade; RTC, FPU.
MASTER_LEVEL_CAPABLE: Final = 0xF8
SLAVE_LEVEL_CAPABLE: Final = 0xDE


class I8259(RegisterDevice, width=8):
    """One 8259A at its two ports.

    Args:
        level_capable: the inputs that ELCR can make level-triggered.
        cascade: mask of the input that another chip drives, 0 for a slave.
        on_change: called when the state of the output may have changed.
    """

    COMMAND = Register(0, "ICW1 (bit 4 set), OCW3 (bit 3 set) or OCW2", WO)
    COMMAND_OCW2_OPERATION = COMMAND.bits(7, 5, "OCW2: rotate (R), specific (SL), EOI")
    COMMAND_OCW2_LEVEL = COMMAND.bits(2, 0, "OCW2: the input that a specific operation means")
    COMMAND_OCW3_ESMM = COMMAND.bit(6, "OCW3: SMM is valid")
    COMMAND_OCW3_SMM = COMMAND.bit(5, "OCW3: special mask mode")
    COMMAND_OCW3 = COMMAND.bit(3, "this is OCW3; in ICW1: LTIM, all inputs level-triggered")
    COMMAND_OCW3_P = COMMAND.bit(2, "OCW3: the next read is a poll")
    COMMAND_OCW3_RR = COMMAND.bit(1, "OCW3: RIS is valid; in ICW1: SNGL, no ICW3 follows")
    COMMAND_OCW3_RIS = COMMAND.bit(0, "OCW3: read ISR, else IRR; in ICW1: IC4, ICW4 follows")
    COMMAND_ICW1 = COMMAND.bit(4, "this is ICW1")
    STATUS = Register(0, "IRR, ISR or the poll word, as the last OCW3 said", RO)

    IMR = Register(1, "Interrupt Mask (OCW1)")

    ICW2 = Register(1, "Interrupt vector", WO, bank=ICW2)
    ICW2_T = ICW2.bits(7, 3, "vector of input 0")
    ICW3 = Register(1, "Inputs with slaves, or the slave's identity", WO, bank=ICW3)
    ICW4 = Register(1, "Modes", WO, bank=ICW4)
    ICW4_SFNM = ICW4.bit(4, "special fully nested mode")
    ICW4_BUF = ICW4.bits(3, 2, "buffered mode", UNMODELLED)
    ICW4_AEOI = ICW4.bit(1, "automatic end of interrupt")
    ICW4_UPM = ICW4.bit(0, "8086 mode")

    _lines = internal(0)
    _edges = internal(0)  # rising edges not yet acknowledged
    _level_select = internal(0)  # as written to ELCR
    _isr = internal(0)
    _lowest = internal(7)  # the input of lowest priority
    _all_level = internal(False)
    _single = internal(False)
    _needs_icw4 = internal(False)
    _special_mask = internal(False)
    _rotate_on_aeoi = internal(False)
    _read_isr = internal(False)
    _poll = internal(False)

    def __init__(self, *, level_capable: int, cascade: int, on_change: Callable[[], None]) -> None:
        self.level_capable = level_capable
        self._cascade = cascade
        self._on_change = on_change
        super().__init__()

    def set_line(self, irq: int, level: bool) -> None:
        """Drive input ``irq``."""
        mask = 1 << irq
        if level and not self._lines & mask:
            self._edges |= mask
        self._lines = self._lines | mask if level else self._lines & ~mask
        self._on_change()

    def requested(self) -> int:
        """Return the input that asks for service now, -1 if none does."""
        requests = self._irr() & ~self.IMR
        if not requests:
            return -1
        serviced = self._isr
        if self._special_mask:
            serviced &= ~self.IMR
        if self.ICW4 & self.ICW4_SFNM:
            serviced &= ~self._cascade
        irq = self._first(requests)
        if serviced and self._priority(irq) >= self._priority(self._first(serviced)):
            return -1
        return irq

    def take(self, irq: int) -> None:
        """Begin the service of ``irq``, as an acknowledge cycle or a poll does."""
        mask = 1 << irq
        self._edges &= ~mask
        if not self.ICW4 & self.ICW4_AEOI:
            self._isr |= mask
        elif self._rotate_on_aeoi:
            self._lowest = irq
        self._on_change()

    def vector(self, irq: int) -> int:
        """Return the vector of input ``irq``."""
        return self.ICW2 & self.ICW2_T | irq

    @property
    def level_select(self) -> int:
        """This chip's ELCR."""
        return self._level_select

    @level_select.setter
    def level_select(self, inputs: int) -> None:
        self._level_select = inputs & self.level_capable
        self._on_change()

    # ---- Registers ----

    @COMMAND.on_write
    def _command(self, value: int) -> None:
        if value & self.COMMAND_ICW1:
            self._initialize(value)
        elif value & self.COMMAND_OCW3:
            self._ocw3(value)
        else:
            self._ocw2(self.COMMAND_OCW2_OPERATION.of(value), value & self.COMMAND_OCW2_LEVEL)
        self._on_change()

    @STATUS.on_read
    def _read_status(self) -> int:
        if self._poll:
            return self._poll_word()
        return self._isr if self._read_isr else self._irr()

    @IMR.on_read
    def _read_mask(self) -> int:
        return self._poll_word() if self._poll else self.IMR

    @IMR.after_write
    def _mask_written(self) -> None:
        self._on_change()

    @ICW2.after_write
    def _after_icw2(self) -> None:
        if not self._single:
            self.select(ICW3)
        else:
            self._after_icw3()

    @ICW3.after_write
    def _after_icw3(self) -> None:
        self.select(ICW4 if self._needs_icw4 else "")

    @ICW4.after_write
    def _after_icw4(self) -> None:
        self.select("")
        self._on_change()

    # ---- Inside ----

    def _irr(self) -> int:
        level = 0xFF if self._all_level else self._level_select | self._cascade
        return self._edges & ~level | self._lines & level

    def _priority(self, irq: int) -> int:
        """Return 0 for the input of highest priority, 7 for the lowest."""
        return (irq - self._lowest - 1) & 7

    def _first(self, inputs: int) -> int:
        """Return the input of highest priority among ``inputs``, which are not 0."""
        start = self._lowest + 1 & 7
        rotated = (inputs | inputs << 8) >> start & 0xFF
        return (rotated & -rotated).bit_length() - 1 + start & 7

    def _initialize(self, icw1: int) -> None:
        self._all_level = bool(icw1 & self.COMMAND_OCW3)
        self._single = bool(icw1 & self.COMMAND_OCW3_RR)
        self._needs_icw4 = bool(icw1 & self.COMMAND_OCW3_RIS)
        self._edges = self._isr = self.IMR = self.ICW4 = 0
        self._lowest = 7
        self._special_mask = self._rotate_on_aeoi = self._read_isr = self._poll = False
        self.select(ICW2)

    def _ocw2(self, operation: int, irq: int) -> None:
        rotate, specific, end = operation & 4, operation & 2, operation & 1
        if not specific and not end:
            self._rotate_on_aeoi = bool(rotate)
            return
        if not specific:
            # In special mask mode, masked inputs are no part of the nesting.
            serviced = self._isr & ~self.IMR if self._special_mask else self._isr
            if not serviced:
                return
            irq = self._first(serviced)
        if end:
            self._isr &= ~(1 << irq)
        if rotate:
            self._lowest = irq

    def _ocw3(self, value: int) -> None:
        if value & self.COMMAND_OCW3_ESMM:
            self._special_mask = bool(value & self.COMMAND_OCW3_SMM)
        if value & self.COMMAND_OCW3_RR:
            self._read_isr = bool(value & self.COMMAND_OCW3_RIS)
        if value & self.COMMAND_OCW3_P:
            self._poll = True  # until the next read

    def _poll_word(self) -> int:
        self._poll = False
        irq = self.requested()
        if irq < 0:
            return 0
        self.take(irq)
        return 0x80 | irq


class Elcr(RegisterDevice, width=8):
    """The edge/level control registers of a pair; 1 makes an input level-triggered."""

    ELCR1 = Register(0, "Edge/Level Control, IRQ 0 to 7")
    ELCR2 = Register(1, "Edge/Level Control, IRQ 8 to 15")

    def __init__(self, master: I8259, slave: I8259) -> None:
        self._master = master
        self._slave = slave
        super().__init__()

    @ELCR1.on_read
    def _read_1(self) -> int:
        return self._master.level_select

    @ELCR1.on_write
    def _write_1(self, value: int) -> None:
        self._master.level_select = value

    @ELCR2.on_read
    def _read_2(self) -> int:
        return self._slave.level_select

    @ELCR2.on_write
    def _write_2(self, value: int) -> None:
        self._slave.level_select = value


class I8259Pair(Device):
    """The PC's pair; the `InterruptSource` of a processor.

    Attributes:
        master: a region of two ports, at 0x20.
        slave: the same, at 0xa0.
        elcr: a region of two ports, at 0x4d0.
        regions: these three, in this order.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("set_line", "acknowledge")

    def __init__(self) -> None:
        self._output = OutputPin(_unconnected)
        self.master = I8259(
            level_capable=MASTER_LEVEL_CAPABLE, cascade=1 << CASCADE, on_change=self._update
        )
        self.slave = I8259(
            level_capable=SLAVE_LEVEL_CAPABLE, cascade=0, on_change=self._update_slave
        )
        self.elcr = Elcr(self.master, self.slave)
        self.regions = (self.master, self.slave, self.elcr)
        for region in self.regions:
            region.whole = self
        super().__init__()

    def connect(self, output: InterruptLine) -> None:
        """Connect INTR: the processor's pin, or LINT0 of its local APIC."""
        self._output = OutputPin(output)
        self._update()

    def line(self, irq: int) -> InterruptLine:
        """Return the line of ``irq``, 0 to 15 but not 2, which is the cascade.

        Raises:
            ValueError: for any other.
        """
        if not 0 <= irq < 16 or irq == CASCADE:
            raise ValueError(f"the 8259 pair has no line for IRQ {irq}")
        return lambda level: self.set_line(irq, level)

    def set_line(self, irq: int, level: bool) -> None:
        """Drive the line of ``irq``."""
        chip = self.slave if irq & 8 else self.master
        chip.set_line(irq & 7, level)

    def pending(self) -> bool:
        return self.master.requested() >= 0

    def acknowledge(self) -> int:
        irq = self.master.requested()
        if irq < 0:
            return self.master.vector(SPURIOUS)
        if irq != CASCADE:
            self.master.take(irq)
            return self.master.vector(irq)
        # The cascade is up exactly while the slave has a request.
        slave_irq = self.slave.requested()
        self.master.take(CASCADE)
        self.slave.take(slave_irq)
        return self.slave.vector(slave_irq)

    def parts(self) -> tuple[tuple[str, Device], ...]:
        return ("master", self.master), ("slave", self.slave)

    def reset(self) -> None:
        super().reset()
        self._update_slave()

    def loaded(self) -> None:
        self._update_slave()

    def _update_slave(self) -> None:
        self.master.set_line(CASCADE, self.slave.requested() >= 0)

    def _update(self) -> None:
        self._output(self.master.requested() >= 0)


def _unconnected(_level: bool, /) -> None:
    pass
