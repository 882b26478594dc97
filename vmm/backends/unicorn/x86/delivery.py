"""Delivery of interrupts and exceptions in software, for engines whose inside is closed.

As the AMD64 manual has it (APM volume 2, chapter 8), through gates of the processor's own size:
64-bit ones in long mode, 32-bit interrupt and trap gates in protected mode, the vector table in
real mode. Not here are 16-bit gates, task gates, virtual-8086 mode, and the rights of the pages
that descriptors and stacks are in.
"""

from __future__ import annotations

from struct import Struct

from vmm.backends.registers import DescriptorTable, Segment
from vmm.backends.unicorn.layout import (
    X86_ERROR_CODE,
    X86_EXCEPTION_IS_INT,
    X86_EXCEPTION_NEXT_EIP,
)
from vmm.backends.unicorn.x86.paging import CR0_PE, EFER_LMA, translate
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import RegisterValue
    from vmm.backends.unicorn.x86.state import X86State
    from vmm.memory import GuestMemory

_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")

UNDEFINED_OPCODE: Final = 6

# Vectors of exceptions that push an error code (APM volume 2, table 8-1).
HAVE_ERROR_CODE: Final = frozenset((8, 10, 11, 12, 13, 14, 17))

_BREAKPOINT: Final = 3
_OVERFLOW: Final = 4
_DOUBLE_FAULT: Final = 8
_INVALID_TSS: Final = 10
_SEGMENT_NOT_PRESENT: Final = 11
_GENERAL_PROTECTION: Final = 13
_PAGE_FAULT: Final = 14
_CONTRIBUTORY: Final = frozenset((0, 10, 11, 12, 13))

# Error codes: the selector is an index of the IDT; the access to the page was a write.
_IN_IDT: Final = 1 << 1
_WRITE: Final = 1 << 1

# Types of gates, and bits of `Segment.attributes`.
_INTERRUPT_GATE: Final = 14
_TRAP_GATE: Final = 15
_CONFORMING: Final = 1 << 2
_CODE: Final = 1 << 3
_CODE_OR_DATA: Final = 1 << 4
_PRESENT: Final = 1 << 7
_LONG: Final = 1 << 13
_PAGES: Final = 1 << 15

_TF: Final = 1 << 8
_IF: Final = 1 << 9
_NT: Final = 1 << 14
_RF: Final = 1 << 16
_VM: Final = 1 << 17
_AC: Final = 1 << 18

_WORD: Final = 0xFFFF
_LONG_WORD: Final = 0xFFFF_FFFF


@value
class Event:
    """What is to be delivered.

    Attributes:
        vector: 0 to 255.
        error: the error code to push, None for none.
        behind: where an INT n continues, None for what is not a software interrupt.
        exception: the processor raised it.
    """

    vector: int
    error: int | None = None
    behind: int | None = None
    exception: bool = False


class TripleFault(Exception):
    """A double fault cannot be delivered: the processor shuts down."""


def raised(state: X86State, vector: int) -> Event:
    """Return the event with which the engine has just called its hook for exceptions.

    RIP is then that of the instruction, also of an INT n, behind which the engine has it.
    """
    memory = state.load()
    if _U32.unpack_from(memory, X86_EXCEPTION_IS_INT)[0]:
        behind = _U64.unpack_from(memory, X86_EXCEPTION_NEXT_EIP)[0]
        # A fault during delivery is that of the instruction.
        length = 1 if vector in (_BREAKPOINT, _OVERFLOW) else 2
        state.set_registers({"rip": behind - length})
        return Event(vector, behind=behind)
    error = _U32.unpack_from(memory, X86_ERROR_CODE)[0]
    return Event(vector, error if vector in HAVE_ERROR_CODE else None, exception=True)


def deliver(state: X86State, memory: GuestMemory, event: Event) -> None:
    """Enter the handler of ``event``, or of the fault that this raises.

    Raises:
        TripleFault: if there is no way on.
    """
    while True:
        try:
            state.set_registers(_Entry(state.registers(), memory).enter(event))
        except _Fault as fault:
            if fault.address is not None:
                state.set_registers({"cr2": fault.address})
            event = _combine(event, fault)
        else:
            return


class _Fault(Exception):
    def __init__(self, vector: int, error: int, address: int | None = None) -> None:
        super().__init__(vector, error)
        self.vector = vector
        self.error = error
        self.address = address


def _combine(event: Event, fault: _Fault) -> Event:
    """Return what a fault during the delivery of ``event`` comes to (APM volume 2, 8.2.9)."""
    first = event.vector if event.exception else -1
    if first == _DOUBLE_FAULT:
        raise TripleFault
    contributes = fault.vector in _CONTRIBUTORY
    if (first in _CONTRIBUTORY and contributes) or (
        first == _PAGE_FAULT and (contributes or fault.vector == _PAGE_FAULT)
    ):
        return Event(_DOUBLE_FAULT, 0, exception=True)
    return Event(fault.vector, fault.error, exception=True)


class _Entry:
    """One attempt: reads registers and memory, writes the stack, returns registers to set."""

    def __init__(self, registers: dict[str, RegisterValue], memory: GuestMemory) -> None:
        self._registers = registers
        self._memory = memory
        self._long = bool(self._word("efer") & EFER_LMA)
        self._cpl = self._segment("ss").attributes >> 5 & 3

    def enter(self, event: Event) -> dict[str, RegisterValue]:
        if not self._word("cr0") & CR0_PE:
            return self._enter_real(event)
        kind, dpl, selector, offset, stack = self._gate(event)
        if event.behind is not None and dpl < self._cpl:
            raise _Fault(_GENERAL_PROTECTION, event.vector * 8 + _IN_IDT)
        code = self._code_segment(selector)
        ring = self._cpl if code.attributes & _CONFORMING else code.attributes >> 5 & 3
        segment, top = self._segment("ss"), self._word("rsp")
        frame = [self._word("rflags"), self._segment("cs").selector, self._resume(event)]
        if event.error is not None:
            frame.append(event.error)
        switch = ring < self._cpl or stack != 0
        if self._long or switch:
            frame = [segment.selector, top, *frame]
        if switch:
            segment, top = self._stack(ring, stack)
        if self._long:
            top = self._push(0, top & ~0xF, frame, 8)
        else:
            top = self._push(segment.base, top, frame, 4)
        cleared = _TF | _NT | _RF | _VM | (_IF if kind == _INTERRUPT_GATE else 0)
        return {
            "ss": segment,
            "cs": Segment(selector & ~3 | ring, code.base, code.limit, code.attributes),
            "rsp": top,
            "rip": offset,
            "rflags": self._word("rflags") & ~cleared,
        }

    def _enter_real(self, event: Event) -> dict[str, RegisterValue]:
        vector = self._read(self._table("idtr").base + 4 * event.vector, 4)
        code = self._segment("cs")
        frame = [self._word("rflags"), code.selector, self._resume(event)]
        rsp = self._word("rsp")
        top = self._push(self._segment("ss").base, rsp & _WORD, frame, 2)
        selector = vector >> 16
        return {
            "cs": Segment(selector, selector << 4, code.limit, code.attributes),
            "rsp": rsp & ~_WORD | top,
            "rip": vector & _WORD,
            "rflags": self._word("rflags") & ~(_TF | _IF | _AC),
        }

    def _gate(self, event: Event) -> tuple[int, int, int, int, int]:
        """Return type, DPL, selector, offset and interrupt-stack index of the vector's gate."""
        table = self._table("idtr")
        size = 16 if self._long else 8
        error = event.vector * 8 + _IN_IDT
        if event.vector * size + size - 1 > table.limit:
            raise _Fault(_GENERAL_PROTECTION, error)
        gate = self._read(table.base + event.vector * size, size)
        kind = gate >> 40 & 0x1F
        if kind not in (_INTERRUPT_GATE, _TRAP_GATE):
            raise _Fault(_GENERAL_PROTECTION, error)
        if not gate >> 40 & _PRESENT:
            raise _Fault(_SEGMENT_NOT_PRESENT, error)
        offset = gate & _WORD | (gate >> 48 & _WORD) << 16 | (gate >> 64) << 32
        stack = gate >> 32 & 7 if self._long else 0
        return kind, gate >> 45 & 3, gate >> 16 & _WORD, offset & (1 << 64) - 1, stack

    def _code_segment(self, selector: int) -> Segment:
        segment = self._descriptor(selector, _GENERAL_PROTECTION)
        attributes = segment.attributes
        is_code = attributes & _CODE_OR_DATA and attributes & _CODE
        of_this_mode = not self._long or attributes & _LONG
        if not is_code or not of_this_mode or attributes >> 5 & 3 > self._cpl:
            raise _Fault(_GENERAL_PROTECTION, selector & ~3)
        if not attributes & _PRESENT:
            raise _Fault(_SEGMENT_NOT_PRESENT, selector & ~3)
        return segment

    def _stack(self, ring: int, index: int) -> tuple[Segment, int]:
        """Return SS and the stack pointer that the TSS has for ``ring``, or for IST ``index``."""
        task = self._segment("tr")
        offset, size = 8 * ring + 4, 8
        if self._long and index:
            offset = 8 * index + 28
        elif not self._long:
            size = 6
        if offset + size - 1 > task.limit:
            raise _Fault(_INVALID_TSS, task.selector & ~3)
        entry = self._read(task.base + offset, size)
        if self._long:
            return Segment(ring, 0, 0, ring << 5), entry
        return self._descriptor(entry >> 32, _INVALID_TSS), entry & _LONG_WORD

    def _descriptor(self, selector: int, fault: int) -> Segment:
        """Return the segment that the GDT or LDT has for ``selector``."""
        table = self._segment("ldt") if selector & 4 else self._table("gdtr")
        start = selector & ~7
        if selector & ~3 == 0 or start + 7 > table.limit:
            raise _Fault(fault, selector & ~3)
        word = self._read(table.base + start, 8)
        attributes = word >> 40 & 0xF0FF
        limit = word & _WORD | word >> 32 & 0xF_0000
        if attributes & _PAGES:
            limit = limit << 12 | 0xFFF
        base = word >> 16 & 0xFF_FFFF | word >> 32 & 0xFF00_0000
        return Segment(selector, base, limit, attributes)

    def _resume(self, event: Event) -> int:
        return self._word("rip") if event.behind is None else event.behind

    # ---- Memory, by linear address ----

    def _push(self, base: int, top: int, frame: list[int], width: int) -> int:
        """Push ``frame``, its first word first, and return the new stack pointer."""
        mask = (1 << 8 * width) - 1
        for word in frame:
            top = top - width & mask
            self._write(base + top, word & mask, width)
        return top

    def _read(self, address: int, size: int) -> int:
        data = b"".join(bytes(view) for view in self._views(address, size, 0))
        return int.from_bytes(data, "little")

    def _write(self, address: int, word: int, size: int) -> None:
        data = word.to_bytes(size, "little")
        for view in self._views(address, size, _WRITE):
            view[:] = data[: len(view)]
            data = data[len(view) :]

    def _views(self, address: int, size: int, access: int) -> list[memoryview]:
        """Return RAM at ``address``, in pieces where it crosses a page."""
        views = []
        while size:
            length = min(size, 4096 - (address & 4095))
            where = self._translate(address)
            if where is None or not self._memory.contains(where, length):
                raise _Fault(_PAGE_FAULT, access, address)
            views.append(self._memory.view(where, length))
            address += length
            size -= length
        return views

    def _translate(self, address: int) -> int | None:
        word = self._word
        return translate(self._memory, address, word("cr0"), word("cr3"), word("cr4"), word("efer"))

    # ---- Registers, by type ----

    def _word(self, name: str) -> int:
        word = self._registers[name]
        assert isinstance(word, int)
        return word

    def _segment(self, name: str) -> Segment:
        segment = self._registers[name]
        assert isinstance(segment, Segment)
        return segment

    def _table(self, name: str) -> DescriptorTable:
        table = self._registers[name]
        assert isinstance(table, DescriptorTable)
        return table
