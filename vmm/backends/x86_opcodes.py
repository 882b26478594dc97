"""Just enough of x86's instruction format to sort instructions (SDM volume 2, chapter 2).

No lengths, no operands: prefixes, opcode and ModRM say which of three kinds an instruction is.
"""

from __future__ import annotations

from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PLAIN: Final = "plain"  # works on general registers and memory alone
VECTOR: Final = "vector"  # on registers of the x87 FPU, SSE or AVX, or of a newer extension
SYSTEM: Final = "system"  # looks at, or changes, what a processor has besides

_PREFIXES: Final = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
_REX: Final = range(0x40, 0x50)
_TWO_BYTE: Final = 0x0F
_REX_W: Final = 1 << 3
_REPEAT: Final = 0xF3

# Input, output and interrupts; segment registers, far transfers, flags with IF; HLT, CLI, STI.
_SYSTEM: Final = frozenset(
    (
        *(0x6C, 0x6D, 0x6E, 0x6F, 0xE4, 0xE5, 0xE6, 0xE7, 0xEC, 0xED, 0xEE, 0xEF),
        *(0xCC, 0xCD, 0xCE, 0xCF, 0xF1),
        *(0x8E, 0x9A, 0x9D, 0xCA, 0xCB, 0xEA, 0xF4, 0xFA, 0xFB),
    )
)
# POP of a segment register, BOUND, LES, LDS outside of 64-bit mode.
_SYSTEM_LEGACY: Final = frozenset((0x07, 0x17, 0x1F, 0x62, 0xC4, 0xC5))
# FWAIT and the x87's escape opcodes.
_VECTOR: Final = frozenset((0x9B, *range(0xD8, 0xE0)))
# VEX and EVEX.
_VECTOR_64: Final = frozenset((0x62, 0xC4, 0xC5))

# After 0F: system registers and tables, cache and TLB, MSRs, counters, system calls, CPUID, RSM;
# POP FS and GS, LSS, LFS, LGS.
_SYSTEM_0F: Final = frozenset(
    (
        *range(0x0A),
        *range(0x20, 0x28),
        *range(0x30, 0x38),
        *(0xA1, 0xA2, 0xA9, 0xAA, 0xB2, 0xB4, 0xB5),
    )
)
_VECTOR_0F: Final = frozenset(
    (
        *(0x0E, 0x0F, *range(0x10, 0x18), *range(0x28, 0x30), 0x38, 0x3A),
        *(*range(0x50, 0x80), 0xC2, 0xC4, 0xC5, 0xC6, *range(0xD0, 0xFF)),
    )
)
_GROUP_15: Final = 0xAE
_GROUP_9: Final = 0xC7
_POPCNT: Final = 0xB8
_FAR_TRANSFER: Final = 0xFF  # group 5: /3 and /5
_GROUP_7: Final = 0x01
_XGETBV: Final = 0xD0

# Kinds of access to the extended state.
XSAVE: Final = "xsave"
XSAVEOPT: Final = "xsaveopt"
XRSTOR: Final = "xrstor"
XGETBV: Final = "xgetbv"
_STATE_OF_GROUP_15: Final = {4: XSAVE, 5: XRSTOR, 6: XSAVEOPT}


@value
class Opcode:
    """The front of an instruction.

    Attributes:
        prefixes: the legacy prefixes.
        rex: the REX prefix, 0 for none.
        escaped: 0F comes before the opcode.
        opcode: one byte.
        modrm: the byte after that, which may be something else.
        modrm_at: where that is in the instruction.
    """

    prefixes: bytes
    rex: int
    escaped: bool
    opcode: int
    modrm: int
    modrm_at: int

    @property
    def in_memory(self) -> bool:
        """The operand of ModRM is in memory."""
        return self.modrm >> 6 != 3

    @property
    def extension(self) -> int:
        """ModRM.reg."""
        return self.modrm >> 3 & 7


def decode(code: bytes, *, long_mode: bool) -> Opcode:
    """Split the front of the instruction that ``code`` begins with; missing bytes are zeros."""
    at = 0
    while at < len(code) and code[at] in _PREFIXES:
        at += 1
    prefixes = code[:at]
    tail = code[at:].ljust(4, b"\0")
    rex = tail[0] if long_mode and tail[0] in _REX else 0
    at = 1 if rex else 0
    escaped = tail[at] == _TWO_BYTE
    at += escaped
    tail = tail.ljust(at + 2, b"\0")
    return Opcode(prefixes, rex, escaped, tail[at], tail[at + 1], len(prefixes) + at + 1)


def classify(code: bytes, *, long_mode: bool) -> str:
    """Return `PLAIN`, `VECTOR` or `SYSTEM` for the instruction that ``code`` begins with."""
    front = decode(code, long_mode=long_mode)
    if front.escaped:
        return _classify_escaped(front)
    opcode = front.opcode
    if opcode in _SYSTEM or (not long_mode and opcode in _SYSTEM_LEGACY):
        return SYSTEM
    if opcode == _FAR_TRANSFER and front.extension in (3, 5):
        return SYSTEM
    if opcode in _VECTOR or (long_mode and opcode in _VECTOR_64):
        return VECTOR
    return PLAIN


def _classify_escaped(front: Opcode) -> str:
    opcode = front.opcode
    if opcode in _SYSTEM_0F or state_access(front) is not None:
        return SYSTEM
    if opcode == _GROUP_9:
        # CMPXCHG8B and CMPXCHG16B; RDRAND and RDSEED; the rest are XRSTORS, VMX and RDPID.
        if front.in_memory and front.extension == 1:
            return VECTOR if front.rex & _REX_W else PLAIN
        is_random = not front.in_memory and front.extension in (6, 7) and not front.prefixes
        return PLAIN if is_random else SYSTEM
    if opcode == _GROUP_15:
        # FXSAVE, FXRSTOR, LDMXCSR, STMXCSR; CLFLUSH and fences; RDFSBASE and its like.
        if front.in_memory:
            return VECTOR if front.extension < 4 else PLAIN
        return SYSTEM if _REPEAT in front.prefixes else PLAIN
    if opcode in _VECTOR_0F or (opcode == _POPCNT and _REPEAT in front.prefixes):
        return VECTOR
    return PLAIN


def state_access(front: Opcode) -> str | None:
    """Return which access to the extended state this is, if it is one that KVM may refuse."""
    if not front.escaped:
        return None
    if front.opcode == _GROUP_7 and front.modrm == _XGETBV:
        return XGETBV
    if front.opcode == _GROUP_15 and front.in_memory:
        return _STATE_OF_GROUP_15.get(front.extension)
    return None
