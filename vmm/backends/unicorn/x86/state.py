"""The registers of an x86 engine, read and written as one block of memory.

The engine keeps them in a C structure (``CPUX86State``, offsets in `layout`). It is reached in
place where the engine's inside may be touched, else through a copy that the public interface saves
and restores. What the engine derives from registers (its *hidden flags*, which select translated
code) is computed again here whenever a register that decides the processor's mode is set.
"""

from __future__ import annotations

from struct import Struct

from vmm.backends.registers import DescriptorTable, Segment
from vmm.backends.unicorn.layout import (
    X86_CC_OP,
    X86_CC_SRC,
    X86_CR,
    X86_DF,
    X86_EFER,
    X86_EFLAGS,
    X86_EIP,
    X86_GDT,
    X86_HFLAGS,
    X86_IDT,
    X86_LDT,
    X86_OLD_EXCEPTION,
    X86_REGS,
    X86_SEGS,
    X86_TR,
)
from vmm.errors import BackendUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from vmm.backends.api import Registers, RegisterValue
    from vmm.backends.unicorn.engine import Engine
    from vmm.backends.unicorn.library import CData

_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")
_I32: Final = Struct("<i")
# SegmentCache: selector, base, limit, flags. The flags are bits 8 to 23 of a descriptor's upper
# half, in place.
_SEGMENT: Final = Struct("<I4xQII")
_TABLE: Final = Struct("<8xQI")

_GENERAL_ORDER: Final = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15"
_WORDS: Final = {
    **{name: X86_REGS + 8 * number for number, name in enumerate(_GENERAL_ORDER.split())},
    "rip": X86_EIP,
    "cr0": X86_CR,
    "cr2": X86_CR + 16,
    "cr3": X86_CR + 24,
    "cr4": X86_CR + 32,
    "efer": X86_EFER,
}
_SEGMENTS: Final = {
    **{name: X86_SEGS + 24 * number for number, name in enumerate("es cs ss ds fs gs".split())},
    "tr": X86_TR,
    "ldt": X86_LDT,
}
_TABLES: Final = {"gdtr": X86_GDT, "idtr": X86_IDT}

_NAMES: Final = frozenset((*_WORDS, *_SEGMENTS, *_TABLES, "rflags"))

# What the hidden flags depend on, and what cached address translations do.
_DECIDE_MODE: Final = frozenset(("cr0", "cr4", "efer", "es", "cs", "ss", "ds", "rflags"))
_DECIDE_MAPPING: Final = frozenset(("cr0", "cr3", "cr4", "efer"))

_CR0_ET: Final = 1 << 4  # always set
_EFER_KNOWN: Final = 0xD01  # NXE, LMA, LME, SCE; SVM is not offered

_RFLAGS_ARITHMETIC: Final = 0x8D5  # OF SF ZF AF PF CF
_RFLAGS_DF: Final = 1 << 10
_RFLAGS_FIXED: Final = 1 << 1
_CC_OP_EFLAGS: Final = 1  # the arithmetic flags are in cc_src, ready made

# The type of a TSS descriptor says whether it is busy. The engine keeps TR without that bit, and
# aborts the process where it finds it in some modes.
_TSS_BUSY: Final = 1 << 1

# <unicorn/x86.h>
REG_RAX: Final = 35
REG_RBX: Final = 37
REG_RCX: Final = 38
REG_RDX: Final = 40
REG_RIP: Final = 41
REG_CR2: Final = 52
_REG_FPCW: Final = 246
_REG_FPTAG: Final = 247
_REG_MXCSR: Final = 249
REG_RFLAGS: Final = 253

# SDM volume 3A, table 10-1: the state after RESET.
_REAL_MODE_DATA: Final = Segment(0, 0, 0xFFFF, 0x93)
_AFTER_RESET: Final[Mapping[str, RegisterValue]] = {
    **dict.fromkeys(_GENERAL_ORDER.split(), 0),
    "rdx": 0x600,
    "rip": 0xFFF0,
    "rflags": _RFLAGS_FIXED,
    "cr0": 0x6000_0010,
    "cr2": 0,
    "cr3": 0,
    "cr4": 0,
    "efer": 0,
    "cs": Segment(0xF000, 0xFFFF_0000, 0xFFFF, 0x9B),
    **dict.fromkeys(("ds", "es", "fs", "gs", "ss"), _REAL_MODE_DATA),
    "tr": Segment(0, 0, 0xFFFF, 0x8B),
    "ldt": Segment(0, 0, 0xFFFF, 0x82),
    "gdtr": DescriptorTable(0, 0xFFFF),
    "idtr": DescriptorTable(0, 0xFFFF),
}
# What FNINIT leaves, as hypervisors start their guests with; and MXCSR after RESET.
_FPCW_INITIAL: Final = 0x37F
_FPTAG_EMPTY: Final = 0xFFFF
_MXCSR_INITIAL: Final = 0x1F80

# In struct uc_context, before the saved CPUX86State.
_CONTEXT_HEADER: Final = 40
_PROBE: Final = 0x5A5A_1234_8765_A5A5


class X86State:
    """All registers of one engine; outside a run, or from a callback of it."""

    def __init__(self, engine: Engine) -> None:
        """Attach to ``engine``, which must be initialised.

        Raises:
            BackendUnavailable: if saved state does not look as it should.
        """
        self._engine = engine
        if engine.state is not None:
            size = X86_OLD_EXCEPTION + 4
            self._context: CData = None
            self.memory: CData = engine.ffi.buffer(engine.state.field("char *", 0), size)
        else:
            self._context = self._new_context()
            self._check_context()

    def load(self) -> CData:
        """Return a buffer with all registers as they are now."""
        if self._context is not None:
            code = self._engine.api.uc_context_save(self._engine.handle, self._context)
            self._engine.library.check(code, "cannot save registers")
        return self.memory

    def store(self) -> None:
        """Make changes of the buffer effective."""
        if self._context is not None:
            code = self._engine.api.uc_context_restore(self._engine.handle, self._context)
            self._engine.library.check(code, "cannot restore registers")

    def reset(self) -> None:
        """Set all registers as RESET does, and the floating-point unit as FNINIT does."""
        self.set_registers(_AFTER_RESET)
        self._engine.write_register(_REG_FPCW, _FPCW_INITIAL)
        self._engine.write_register(_REG_FPTAG, _FPTAG_EMPTY)
        self._engine.write_register(_REG_MXCSR, _MXCSR_INITIAL)

    def registers(self) -> dict[str, RegisterValue]:
        """Return all registers that the contract names."""
        memory = self.load()
        values: dict[str, RegisterValue] = {
            name: _U64.unpack_from(memory, offset)[0] for name, offset in _WORDS.items()
        }
        values["rflags"] = self._engine.read_register(REG_RFLAGS)
        for name, offset in _SEGMENTS.items():
            values[name] = _unpack_segment(memory, offset, busy=name == "tr")
        for name, offset in _TABLES.items():
            values[name] = DescriptorTable(*_TABLE.unpack_from(memory, offset))
        return values

    def paging_registers(self) -> tuple[int, int, int, int]:
        """Return CR0, CR3, CR4 and EFER."""
        memory = self.load()
        cr0, cr3, cr4, efer = [
            _U64.unpack_from(memory, _WORDS[name])[0] for name in ("cr0", "cr3", "cr4", "efer")
        ]
        return cr0, cr3, cr4, efer

    def set_registers(self, registers: Registers) -> None:
        """Set the registers given.

        Raises:
            ValueError: if there is no register of a name.
        """
        unknown = registers.keys() - _NAMES
        if unknown:
            raise ValueError(f"x86_64 has no register {min(unknown)!r}")
        memory = self.load()
        for name, value in registers.items():
            _set(memory, name, value)
        if "rip" in registers:
            _I32.pack_into(memory, X86_OLD_EXCEPTION, -1)
        changed = registers.keys()
        if not _DECIDE_MODE.isdisjoint(changed):
            update_hidden_flags(memory)
        self.store()
        if not _DECIDE_MAPPING.isdisjoint(changed):
            self._engine.flush_translations()

    def close(self) -> None:
        """Free what belongs to the engine; before it is closed."""
        if self._context is not None:
            self._engine.api.uc_context_free(self._context)
            self._context = None

    def _new_context(self) -> CData:
        engine = self._engine
        slot = engine.ffi.new("void **")
        engine.library.check(engine.api.uc_context_alloc(engine.handle, slot), "no memory")
        size = engine.api.uc_context_size(engine.handle) - _CONTEXT_HEADER
        start = engine.ffi.cast("char *", slot[0]) + _CONTEXT_HEADER
        self.memory = engine.ffi.buffer(start, size)
        return slot[0]

    def _check_context(self) -> None:
        """Write registers by their numbers and look for them at their offsets."""
        for offset, register in ((X86_REGS, REG_RAX), (X86_EIP, REG_RIP), (X86_CR + 16, REG_CR2)):
            probe = _PROBE ^ register
            self._engine.write_register(register, probe)
            if _U64.unpack_from(self.load(), offset)[0] != probe:
                raise BackendUnavailable(
                    "this build of the Unicorn engine keeps its registers in an unknown layout; "
                    "install the one of PyPI"
                )


def update_hidden_flags(memory: CData) -> None:
    """Derive the engine's hidden flags (``HF_*``) from the registers in ``memory``.

    The engine has a function for this, which leaves out SMAP and copies TF, IOPL and VM, where
    they stay when RFLAGS changes.
    """
    cr0 = _U64.unpack_from(memory, _WORDS["cr0"])[0]
    cr4 = _U64.unpack_from(memory, _WORDS["cr4"])[0]
    efer = _U64.unpack_from(memory, _WORDS["efer"])[0]
    _, _, _, cs = _SEGMENT.unpack_from(memory, _SEGMENTS["cs"])
    _, _, _, ss = _SEGMENT.unpack_from(memory, _SEGMENTS["ss"])
    protected = cr0 & 1
    virtual_8086 = _U64.unpack_from(memory, X86_EFLAGS)[0] >> 17 & 1
    flags = _U32.unpack_from(memory, X86_HFLAGS)[0] & ~_HF_DERIVED
    flags |= 3 if virtual_8086 else ss >> 13 & 3  # CPL
    flags |= protected << 7
    flags |= (cr0 >> 1 & 7) << 9  # MP EM TS
    flags |= (cr4 >> 9 & 1) << 22  # OSFXSR
    flags |= (cr4 >> 21 & 1) << 23  # SMAP
    flags |= (efer >> 10 & 1) << 14  # LMA
    if efer >> 10 & 1 and cs >> 21 & 1:
        flags |= _HF_CODE_64
    else:
        code_32 = cs >> 22 & 1
        flags |= code_32 << 4
        flags |= (ss >> 22 & 1) << 5
        bases = [_SEGMENT.unpack_from(memory, _SEGMENTS[name])[1] for name in ("ds", "es", "ss")]
        if not protected or virtual_8086 or not code_32 or any(bases):
            flags |= _HF_ADDSEG
    _U32.pack_into(memory, X86_HFLAGS, flags)


_HF_ADDSEG: Final = 1 << 6
_HF_CODE_64: Final = 1 << 15 | 1 << 5 | 1 << 4  # CS64, SS32, CS32
# CPL, CS32, SS32, ADDSEG, PE, TF, MP, EM, TS, IOPL, LMA, CS64, VM, OSFXSR, SMAP
_HF_DERIVED: Final = 0x00C2_FFF3


def _set(memory: CData, name: str, value: RegisterValue) -> None:
    if isinstance(value, Segment):
        flags = (value.attributes & 0xF0FF) << 8
        if name == "tr":
            flags &= ~(_TSS_BUSY << 8)
        _SEGMENT.pack_into(memory, _SEGMENTS[name], value.selector, value.base, value.limit, flags)
    elif isinstance(value, DescriptorTable):
        _TABLE.pack_into(memory, _TABLES[name], value.base, value.limit)
    elif name == "rflags":
        _set_rflags(memory, value)
    else:
        if name == "cr0":
            value |= _CR0_ET
        elif name == "efer":
            value &= _EFER_KNOWN
        _U64.pack_into(memory, _WORDS[name], value)


def _set_rflags(memory: CData, value: int) -> None:
    """Store flags where the engine looks for them: in one place between runs, in three during."""
    _U64.pack_into(memory, X86_EFLAGS, value | _RFLAGS_FIXED)
    _U64.pack_into(memory, X86_CC_SRC, value & _RFLAGS_ARITHMETIC)
    _U32.pack_into(memory, X86_CC_OP, _CC_OP_EFLAGS)
    _I32.pack_into(memory, X86_DF, -1 if value & _RFLAGS_DF else 1)


def _unpack_segment(memory: CData, offset: int, *, busy: bool) -> Segment:
    selector, base, limit, flags = _SEGMENT.unpack_from(memory, offset)
    attributes = flags >> 8 & 0xF0FF
    if busy:
        attributes |= _TSS_BUSY
    return Segment(selector, base, limit, attributes)
