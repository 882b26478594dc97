"""XSAVE, XSAVEOPT, XRSTOR and XGETBV, carried out on KVM's copy of the extended state.

KVM keeps that in the very format of these instructions (SDM volume 1, chapter 13, standard format),
with components that no emulator here knows, such as the upper halves of AVX registers.
"""

from __future__ import annotations

from struct import Struct

from vmm.backends.registers import Segment
from vmm.backends.unicorn.x86.paging import EFER_LMA, translate
from vmm.backends.x86_opcodes import XGETBV, XRSTOR, XSAVEOPT, decode, state_access

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Registers, RegisterValue
    from vmm.backends.kvm.x86_64 import X86Vcpu
    from vmm.backends.x86_opcodes import Opcode
    from vmm.memory import GuestMemory

_X87: Final = 1 << 0
_SSE: Final = 1 << 1
_AVX: Final = 1 << 2
# Where the parts of the area of FXSAVE are, by the component that they belong to.
_X87_PLACES: Final = (slice(0, 24), slice(32, 160))
_SSE_PLACE: Final = slice(160, 416)
_MXCSR_PLACE: Final = slice(24, 28)
_HEADER: Final = Struct("<QQ")  # XSTATE_BV, XCOMP_BV
_HEADER_AT: Final = 512
_HEADER_PLACE: Final = slice(_HEADER_AT, _HEADER_AT + _HEADER.size)
_COMPACTED: Final = 1 << 63

_CR4_OSXSAVE: Final = 1 << 18
_LONG_CODE: Final = 1 << 13  # in `Segment.attributes`
_QUAD_WORD: Final = (1 << 64) - 1
_LONG_WORD: Final = (1 << 32) - 1
_PAGE: Final = 0x1000
_ALIGNMENT: Final = 64
_ADDRESS_SIZE: Final = 0x67
_SEGMENT_PREFIXES: Final = {0x64: "fs", 0x65: "gs"}

_GENERAL: Final = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
)


class CannotExecute(Exception):
    """The instruction is one of these, but would fault, or is of a form that is not known here."""


class ExtendedState:
    """Carries out these instructions for one vCPU, in 64-bit mode."""

    def __init__(self, vcpu: X86Vcpu, memory: GuestMemory) -> None:
        self._vcpu = vcpu
        self._memory = memory
        self._components: dict[int, tuple[int, int]] | None = None

    def execute(self, code: bytes, registers: Registers) -> dict[str, RegisterValue] | None:
        """Carry out the instruction ``code``; return the registers that it changes.

        Returns None for every other instruction.

        Raises:
            CannotExecute: if it is for the caller to say that there is no way on.
        """
        front = decode(code, long_mode=True)
        access = state_access(front)
        if access is None:
            return None
        if not _is_possible(registers):
            raise CannotExecute(f"{access} where the guest has not enabled it")
        if access == XGETBV:
            return self._get_control(front, registers)
        address, length = _operand(front, code, registers)
        if address % _ALIGNMENT:
            raise CannotExecute(f"{access} at {address:#x}, which is not aligned")
        area = _Area(self._memory, address, registers)
        if access == XRSTOR:
            self._restore(area, registers)
        else:
            self._save(area, registers, keep_unused=access == XSAVEOPT)
        return {"rip": _word(registers, "rip") + length & _QUAD_WORD}

    def _get_control(self, front: Opcode, registers: Registers) -> dict[str, RegisterValue]:
        number = _word(registers, "rcx") & _LONG_WORD
        content = self._vcpu.extended_control()
        if number == 1:
            content &= _HEADER.unpack_from(self._vcpu.extended_state(), _HEADER_AT)[0]
        elif number != 0:
            raise CannotExecute(f"xgetbv of register {number}")
        rip = _word(registers, "rip") + front.modrm_at + 1
        return {"rax": content & _LONG_WORD, "rdx": content >> 32, "rip": rip & _QUAD_WORD}

    def _save(self, area: _Area, registers: Registers, *, keep_unused: bool) -> None:
        """XSAVE, or XSAVEOPT, which leaves components in their initial state alone (13.9)."""
        image = self._vcpu.extended_state()
        wanted = self._wanted(registers)
        in_use, _ = _HEADER.unpack_from(image, _HEADER_AT)
        written = wanted & in_use if keep_unused else wanted
        for place in self._places(written, mxcsr=wanted & (_SSE | _AVX) != 0):
            area.write(place, image[place])
        present, compaction = _HEADER.unpack(area.read(_HEADER_PLACE))
        present = present & ~wanted | in_use & wanted
        area.write(_HEADER_PLACE, _HEADER.pack(present, compaction))

    def _restore(self, area: _Area, registers: Registers) -> None:
        """XRSTOR of the standard form (13.8.1)."""
        present, compaction = _HEADER.unpack(area.read(_HEADER_PLACE))
        if compaction & _COMPACTED:
            raise CannotExecute("xrstor of the compacted form")
        image = self._vcpu.extended_state()
        wanted = self._wanted(registers)
        for place in self._places(wanted & present, mxcsr=wanted & (_SSE | _AVX) != 0):
            image[place] = area.read(place)
        # A component that is marked as absent takes its initial values, whatever is in its place.
        in_use, _ = _HEADER.unpack_from(image, _HEADER_AT)
        _HEADER.pack_into(image, _HEADER_AT, in_use & ~wanted | present & wanted, 0)
        self._vcpu.set_extended_state(image)

    def _wanted(self, registers: Registers) -> int:
        mask = _word(registers, "rdx") << 32 | _word(registers, "rax") & _LONG_WORD
        return mask & self._vcpu.extended_control()

    def _places(self, components: int, *, mxcsr: bool) -> list[slice]:
        if self._components is None:
            self._components = self._vcpu.extended_components()
        places = list(_X87_PLACES) if components & _X87 else []
        if mxcsr:
            places.append(_MXCSR_PLACE)
        if components & _SSE:
            places.append(_SSE_PLACE)
        for bit, (offset, size) in self._components.items():
            if components >> bit & 1:
                places.append(slice(offset, offset + size))
        return places


class _Area:
    """The operand in memory, by linear address; its parts may be in different pages."""

    def __init__(self, memory: GuestMemory, address: int, registers: Registers) -> None:
        self._memory = memory
        self._address = address
        self._paging = [_word(registers, name) for name in ("cr0", "cr3", "cr4", "efer")]

    def read(self, place: slice) -> bytes:
        """Return a part."""
        return b"".join(bytes(view) for view in self._views(place))

    def write(self, place: slice, data: bytes | bytearray) -> None:
        """Store a part."""
        for view in self._views(place):
            view[:] = data[: len(view)]
            data = data[len(view) :]

    def _views(self, place: slice) -> list[memoryview]:
        """Return RAM at ``place``, in pieces where it crosses a page."""
        views = []
        at, end = self._address + place.start, self._address + place.stop
        while at < end:
            length = min(end - at, _PAGE - at % _PAGE)
            where = translate(self._memory, at & _QUAD_WORD, *self._paging)
            if where is None or not self._memory.contains(where, length):
                raise CannotExecute(f"an area of XSAVE at {at:#x}, where there is no RAM")
            views.append(self._memory.view(where, length))
            at += length
        return views


def _is_possible(registers: Registers) -> bool:
    code = registers["cs"]
    assert isinstance(code, Segment)
    is_long = _word(registers, "efer") & EFER_LMA and code.attributes & _LONG_CODE
    return bool(is_long and _word(registers, "cr4") & _CR4_OSXSAVE)


def _operand(front: Opcode, code: bytes, registers: Registers) -> tuple[int, int]:
    """Return the linear address of ModRM's operand in memory, and the instruction's length."""
    tail = code[front.modrm_at + 1 :].ljust(5, b"\0")
    length = front.modrm_at + 1
    mode, base = front.modrm >> 6, front.modrm & 7
    address = 0
    if base == 4:
        sib, tail, length = tail[0], tail[1:], length + 1
        base = sib & 7
        index = sib >> 3 & 7 | (front.rex & 2) << 2
        if index != 4:
            address += _word(registers, _GENERAL[index]) << (sib >> 6)
        without_base = base == 5 and mode == 0
    else:
        without_base = False
    relative = front.modrm & 0xC7 == 0x05
    size = {0: 4 if relative or without_base else 0, 1: 1, 2: 4}[mode]
    address += int.from_bytes(tail[:size], "little", signed=True)
    length += size
    if relative:
        address += _word(registers, "rip") + length
    elif not without_base:
        address += _word(registers, _GENERAL[base | (front.rex & 1) << 3])
    if _ADDRESS_SIZE in front.prefixes:
        address &= _LONG_WORD
    for prefix, name in _SEGMENT_PREFIXES.items():
        if prefix in front.prefixes:
            segment = registers[name]
            assert isinstance(segment, Segment)
            address += segment.base
    return address & _QUAD_WORD, length


def _word(registers: Registers, name: str) -> int:
    word = registers[name]
    assert isinstance(word, int)
    return word
