"""A local APIC in xAPIC mode, for backends that have none (Intel SDM volume 3, chapter 11).

There is no x2APIC mode and no TSC-deadline mode: both live in MSRs, which do not reach a device.
SMIs, NMIs and thermal or performance interrupts have nowhere to go and are counted as unmodelled.
"""

from __future__ import annotations

from vmm.devices.apic_timer import ApicTimer
from vmm.devices.device import Device, OutputPin, internal
from vmm.devices.registers import RO, WO, Register, RegisterArray, RegisterDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final

    from vmm.devices.local_apics import LocalApics
    from vmm.lines import Clock, InterruptLine, InterruptSource

# Version 0x14 (integrated APIC), six LVT entries.
APIC_VERSION: Final = 0x05_0014

FIXED: Final = 0
LOWEST_PRIORITY: Final = 1
NMI: Final = 4
INIT: Final = 5
STARTUP: Final = 6
EXTINT: Final = 7

# ICR[19:18]
TO_SELF: Final = 1
TO_ALL: Final = 2

BROADCAST: Final = 0xFF
FLAT_MODEL: Final = 0xF

# Vectors below are for exceptions; an interrupt with one is an error.
FIRST_VECTOR: Final = 16

_WORD: Final = 0xFFFF_FFFF


def _unconnected(_level: bool, /) -> None:
    pass


class LocalApic(RegisterDevice, span=16, sizes=(4,)):
    """One processor's local APIC; the `InterruptSource` at its INTR pin.

    Args:
        apic_id: initial identity. Number 0 is the bootstrap processor's, whose LINT0 passes
            8259 interrupts after a reset (MP specification 1.4, virtual wire mode).
        apics: the set that it belongs to.
        clock: drives the timer.
        timer_hz: frequency of the timer before division.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("acknowledge", "set_lint")
    SOURCES: ClassVar[tuple[str, ...]] = ("_acknowledge_external",)

    ID = Register(0x020, "Local APIC ID")
    ID_ID = ID.bits(31, 24, "identity")
    VERSION = Register(0x030, "Version", RO, reset=APIC_VERSION)
    VERSION_MAX_LVT = VERSION.bits(23, 16, "number of the last LVT entry")
    VERSION_VERSION = VERSION.bits(7, 0, "version")
    TPR = Register(0x080, "Task Priority")
    TPR_PRIORITY = TPR.bits(7, 0, "class in 7:4")
    APR = Register(0x090, "Arbitration Priority", RO)
    PPR = Register(0x0A0, "Processor Priority", RO)
    EOI = Register(0x0B0, "End Of Interrupt", WO)
    RRD = Register(0x0C0, "Remote Read", RO)
    LDR = Register(0x0D0, "Logical Destination")
    LDR_ID = LDR.bits(31, 24, "logical identity")
    DFR = Register(0x0E0, "Destination Format", reset=_WORD)
    DFR_MODEL = DFR.bits(31, 28, "1111: flat, 0000: cluster")
    DFR_ONES = DFR.bits(27, 0, "all ones", RO)
    SVR = Register(0x0F0, "Spurious Interrupt Vector", reset=0xFF)
    SVR_FOCUS = SVR.bit(9, "focus checking disabled")
    SVR_ENABLE = SVR.bit(8, "the APIC accepts interrupts")
    SVR_VECTOR = SVR.bits(7, 0, "spurious vector")
    ISR = RegisterArray(0x100, 8, "In-Service", RO)
    TMR = RegisterArray(0x180, 8, "Trigger Mode: 1 for level", RO)
    IRR = RegisterArray(0x200, 8, "Interrupt Request", RO)
    ESR = Register(0x280, "Error Status: a write brings it up to date")
    ESR_REGISTER = ESR.bit(7, "access to a register that is not there")
    ESR_RECEIVED = ESR.bit(6, "received an illegal vector")
    ESR_SENT = ESR.bit(5, "sent an illegal vector")
    ICR = Register(0x300, "Interrupt Command, low: a write sends")
    ICR_SHORTHAND = ICR.bits(19, 18, "0 destination, 1 self, 2 all, 3 all but self")
    ICR_TRIGGER = ICR.bit(15, "level (INIT only)")
    ICR_ASSERT = ICR.bit(14, "assert")
    ICR_STATUS = ICR.bit(12, "send pending", RO)
    ICR_LOGICAL = ICR.bit(11, "the destination is logical")
    ICR_MODE = ICR.bits(10, 8, "delivery mode")
    ICR_VECTOR = ICR.bits(7, 0, "vector")
    ICR2 = Register(0x310, "Interrupt Command, high")
    ICR2_DESTINATION = ICR2.bits(31, 24, "destination")

    LVT_TIMER = Register(0x320, "LVT Timer", reset=0x1_0000)
    LVT_TIMER_PERIODIC = LVT_TIMER.bit(17, "periodic, else one-shot")
    LVT_TIMER_MASK = LVT_TIMER.bit(16, "masked")
    LVT_TIMER_VECTOR = LVT_TIMER.bits(7, 0, "vector")
    LVT_THERMAL = Register(0x330, "LVT Thermal Sensor", reset=0x1_0000)
    LVT_THERMAL_ENTRY = LVT_THERMAL.bits(16, 0, "mask, delivery mode, vector")
    LVT_PMC = Register(0x340, "LVT Performance Counters", reset=0x1_0000)
    LVT_PMC_ENTRY = LVT_PMC.bits(16, 0, "mask, delivery mode, vector")
    LVT_LINT = RegisterArray(0x350, 2, "LVT LINT0, LINT1", reset=0x1_0000)
    LVT_LINT_MASK = LVT_LINT.bit(16, "masked")
    LVT_LINT_TRIGGER = LVT_LINT.bit(15, "level (fixed delivery only)")
    LVT_LINT_REMOTE_IRR = LVT_LINT.bit(14, "delivered, EOI outstanding (level only)", RO)
    LVT_LINT_POLARITY = LVT_LINT.bit(13, "active low")
    LVT_LINT_STATUS = LVT_LINT.bit(12, "delivery pending", RO)
    LVT_LINT_MODE = LVT_LINT.bits(10, 8, "delivery mode")
    LVT_LINT_VECTOR = LVT_LINT.bits(7, 0, "vector")
    LVT_ERROR = Register(0x370, "LVT Error", reset=0x1_0000)
    LVT_ERROR_MASK = LVT_ERROR.bit(16, "masked")
    LVT_ERROR_VECTOR = LVT_ERROR.bits(7, 0, "vector")

    TICR = Register(0x380, "Timer Initial Count")
    TCCR = Register(0x390, "Timer Current Count", RO)
    TDCR = Register(0x3E0, "Timer Divide Configuration")
    TDCR_HIGH = TDCR.bit(3, "divide by 2, 4, 8, 16, 32, 64, 128, 1")
    TDCR_LOW = TDCR.bits(1, 0, "the other two bits of this number")

    # Sets of vectors, as 256-bit numbers.
    _requested = internal(0)
    _serviced = internal(0)
    _level = internal(0)
    _errors = internal(0)
    _lint_levels = internal(0)

    def __init__(self, *, apic_id: int, apics: LocalApics, clock: Clock, timer_hz: int) -> None:
        self.apic_id = apic_id
        self._apics = apics
        self._output = OutputPin(_unconnected)
        self._external: InterruptSource | None = None
        self.timer = ApicTimer(clock, timer_hz, self._timer_expired)
        super().__init__()

    def connect(self, output: InterruptLine) -> None:
        """Connect the processor's INTR pin."""
        self._output = OutputPin(output)
        self._update()

    def connect_external(self, source: InterruptSource) -> InterruptLine:
        """Connect an 8259 pair, whose output drives the line returned: LINT0."""
        self._external = source
        return lambda level: self.set_lint(0, level)

    def parts(self) -> tuple[tuple[str, Device], ...]:
        return (("timer", self.timer),)

    def reset(self) -> None:
        super().reset()
        self.ID = self.ID_ID.put(self.apic_id)
        if self.apic_id == 0:
            self.LVT_LINT[0] = self.LVT_LINT_MODE.put(EXTINT)
        self._output(False)

    def loaded(self) -> None:
        self._update()

    def note(self, name: str) -> None:
        super().note(name)
        if name.startswith("+"):
            self._report(self.ESR_REGISTER)

    # ---- Towards the processor ----

    def pending(self) -> bool:
        return self._external_pending() or _highest(self._requested) >> 4 > self._priority() >> 4

    def acknowledge(self) -> int:
        if self._external_pending():
            external = self._acknowledge_external()
            if external is not None:
                return external
        vector = _highest(self._requested)
        if vector >> 4 <= self._priority() >> 4:
            return self.SVR & self.SVR_VECTOR
        self._requested &= ~(1 << vector)
        self._serviced |= 1 << vector
        self._update()
        return vector

    def _acknowledge_external(self) -> int | None:
        return None if self._external is None else self._external.acknowledge()

    # ---- Towards the interrupts ----

    def accept(self, vector: int, level: bool) -> None:
        """Take a fixed interrupt."""
        if vector < FIRST_VECTOR:
            self._report(self.ESR_RECEIVED)
        elif self.SVR & self.SVR_ENABLE:
            mask = 1 << vector
            self._requested |= mask
            self._level = self._level | mask if level else self._level & ~mask
            self._update()

    def set_lint(self, pin: int, level: bool) -> None:
        """Drive LINT0 or LINT1."""
        mask = 1 << pin
        rising = level and not self._lint_levels & mask
        self._lint_levels = self._lint_levels | mask if level else self._lint_levels & ~mask
        entry = self.LVT_LINT[pin]
        if self.LVT_LINT_MODE.of(entry) == EXTINT:
            self._update()
        elif rising and not entry & self.LVT_LINT_MASK:
            self._raise_lint(pin)

    def matches(self, destination: int, logical: bool) -> bool:
        """Tell whether ``destination`` of a message or IPI means this APIC (SDM 11.6.2)."""
        if destination == BROADCAST:
            return True
        if not logical:
            return destination == self.ID_ID.of(self.ID)
        own = self.LDR_ID.of(self.LDR)
        if self.DFR_MODEL.of(self.DFR) == FLAT_MODEL:
            return own & destination != 0
        return own >> 4 == destination >> 4 and own & destination & 0xF != 0

    def arbitration(self) -> int:
        """Return how reluctant this processor is to take an interrupt of lowest priority."""
        requested, serviced = _highest(self._requested), _highest(self._serviced)
        task = self.TPR
        if task >> 4 >= requested >> 4 and task >> 4 > serviced >> 4:
            return task
        return max(task & serviced & 0xF0, requested & 0xF0)

    # ---- Registers ----

    @TPR.after_write
    def _priority_changed(self) -> None:
        self._update()

    @APR.on_read
    def _read_apr(self) -> int:
        return self.arbitration()

    @PPR.on_read
    def _priority(self) -> int:
        task, serviced = self.TPR, _highest(self._serviced)
        return task if task >> 4 >= serviced >> 4 else serviced & 0xF0

    @EOI.on_write
    def _end_of_interrupt(self, _value: int) -> None:
        if not self._serviced:
            return
        vector = _highest(self._serviced)
        mask = 1 << vector
        self._serviced &= ~mask
        self._update()
        if self._level & mask:
            self._apics.end_of_interrupt(vector)
            self._end_lints(vector)

    @SVR.after_write
    def _enabled_or_disabled(self) -> None:
        if not self.SVR & self.SVR_ENABLE:
            # Disabled in software: all local interrupts are masked (SDM 11.4.7.2).
            self.LVT_LINT = [entry | self.LVT_LINT_MASK for entry in self.LVT_LINT]
            self._stay_masked()
        self._update()

    @ISR.on_read
    def _read_isr(self, index: int) -> int:
        return self._serviced >> 32 * index & _WORD

    @TMR.on_read
    def _read_tmr(self, index: int) -> int:
        return self._level >> 32 * index & _WORD

    @IRR.on_read
    def _read_irr(self, index: int) -> int:
        return self._requested >> 32 * index & _WORD

    @ESR.on_write
    def _write_esr(self, _value: int) -> None:
        self.ESR = self._errors
        self._errors = 0

    @ICR.after_write
    def _send(self) -> None:
        command = self.ICR
        mode = self.ICR_MODE.of(command)
        vector = command & self.ICR_VECTOR
        if mode in (FIXED, LOWEST_PRIORITY) and vector < FIRST_VECTOR:
            self._report(self.ESR_SENT)
            return
        if mode == INIT and command & self.ICR_TRIGGER and not command & self.ICR_ASSERT:
            return  # INIT level de-assert: only ever meant something to the first Pentiums
        shorthand = self.ICR_SHORTHAND.of(command)
        if shorthand == 0:
            destination = self.ICR2_DESTINATION.of(self.ICR2)
            targets = self._apics.find(destination, bool(command & self.ICR_LOGICAL))
        elif shorthand == TO_SELF:
            targets = [self]
        else:
            targets = [a for a in self._apics.apics if shorthand == TO_ALL or a is not self]
        self._apics.deliver(targets, mode, vector, False)

    @LVT_TIMER.after_write
    def _timer_mode(self) -> None:
        self._stay_masked()
        self.timer.periodic = bool(self.LVT_TIMER & self.LVT_TIMER_PERIODIC)

    @LVT_LINT.after_write
    def _lint_changed(self, pin: int) -> None:
        if not self.SVR & self.SVR_ENABLE:
            self.LVT_LINT[pin] |= self.LVT_LINT_MASK
        entry = self.LVT_LINT[pin]
        if not entry & self.LVT_LINT_TRIGGER:
            self.LVT_LINT[pin] = entry & ~self.LVT_LINT_REMOTE_IRR
        elif self._lint_levels >> pin & 1 and not entry & self.LVT_LINT_MASK:
            self._raise_lint(pin)
        self._update()

    @LVT_THERMAL.after_write
    @LVT_PMC.after_write
    @LVT_ERROR.after_write
    def _stay_masked(self) -> None:
        """Undo what unmasked a local interrupt while the APIC is disabled."""
        if self.SVR & self.SVR_ENABLE:
            return
        self.LVT_TIMER |= self.LVT_TIMER_MASK
        self.LVT_THERMAL |= self.LVT_TIMER_MASK
        self.LVT_PMC |= self.LVT_TIMER_MASK
        self.LVT_ERROR |= self.LVT_ERROR_MASK

    @TICR.after_write
    def _start_timer(self) -> None:
        self.timer.start(self.TICR)

    @TCCR.on_read
    def _read_count(self) -> int:
        return self.timer.count()

    @TDCR.after_write
    def _divide(self) -> None:
        code = (self.TDCR & self.TDCR_HIGH) >> 1 | self.TDCR & self.TDCR_LOW
        self.timer.set_shift((code + 1) & 7)

    # ---- Inside ----

    def _external_pending(self) -> bool:
        entry = self.LVT_LINT[0]
        return (
            bool(self._lint_levels & 1)
            and not entry & self.LVT_LINT_MASK
            and self.LVT_LINT_MODE.of(entry) == EXTINT
        )

    def _raise_lint(self, pin: int) -> None:
        entry = self.LVT_LINT[pin]
        mode = self.LVT_LINT_MODE.of(entry)
        if mode != FIXED:
            self._apics.deliver([self], mode, 0, False)
            return
        # LINT1 is always edge-triggered.
        level = bool(entry & self.LVT_LINT_TRIGGER) and pin == 0
        if level:
            if entry & self.LVT_LINT_REMOTE_IRR:
                return
            self.LVT_LINT[pin] = entry | self.LVT_LINT_REMOTE_IRR
        self.accept(entry & self.LVT_LINT_VECTOR, level)

    def _end_lints(self, vector: int) -> None:
        entry = self.LVT_LINT[0]
        if entry & self.LVT_LINT_REMOTE_IRR and entry & self.LVT_LINT_VECTOR == vector:
            self.LVT_LINT[0] = entry & ~self.LVT_LINT_REMOTE_IRR
            if self._lint_levels & 1 and not entry & self.LVT_LINT_MASK:
                self._raise_lint(0)

    def _timer_expired(self) -> None:
        if not self.LVT_TIMER & self.LVT_TIMER_MASK:
            self.accept(self.LVT_TIMER & self.LVT_TIMER_VECTOR, False)

    def _report(self, error: int) -> None:
        """Note an error for ESR, and interrupt for it."""
        self._errors |= error
        vector = self.LVT_ERROR & self.LVT_ERROR_VECTOR
        if not self.LVT_ERROR & self.LVT_ERROR_MASK and vector >= FIRST_VECTOR:
            self.accept(vector, False)

    def _update(self) -> None:
        self._output(self.pending())


def _highest(vectors: int) -> int:
    """Return the highest vector of a set, 0 if it is empty: vectors 0 to 15 are never in one."""
    return max(vectors.bit_length() - 1, 0)
