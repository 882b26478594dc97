"""Stage 1 of address translation on arm64, walked in software (Arm ARM DDI 0487, D8.2 and D8.3).

KVM offers no request for it. For debuggers and reports: rights and the access flag play no part.
"""

from __future__ import annotations

from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.memory import GuestMemory

# TCR_EL1.TG0 and .TG1 -> log2 of the granule. The two fields have different encodings.
_TG0: Final = {0b00: 12, 0b01: 16, 0b10: 14}
_TG1: Final = {0b01: 14, 0b10: 12, 0b11: 16}

_SCTLR_M: Final = 1 << 0

# Which levels may hold a block, by log2 of the granule.
_BLOCK_LEVELS: Final = {12: (1, 2), 14: (2,), 16: (2,)}

_VALID: Final = 1 << 0
_TABLE_OR_PAGE: Final = 1 << 1
_ADDRESS: Final = 0x0000_FFFF_FFFF_F000


@value
class TranslationRegisters:
    """The registers of EL1 that decide: SCTLR_EL1, TCR_EL1, TTBR0_EL1, TTBR1_EL1."""

    sctlr: int
    tcr: int
    ttbr0: int
    ttbr1: int


@value
class _Range:
    """One of the two halves of the address space, as TCR_EL1 describes it.

    Attributes:
        table: physical address of its first table.
        size_offset: T0SZ or T1SZ.
        granule: log2 of the granule in bytes; 0 where the encoding is reserved.
        ignore_top_byte: TBI0 or TBI1.
        disabled: EPD0 or EPD1: no walks.
    """

    table: int
    size_offset: int
    granule: int
    ignore_top_byte: int
    disabled: int


def translate(memory: GuestMemory, registers: TranslationRegisters, address: int) -> int | None:
    """Return the physical address that virtual ``address`` maps to, or None if it maps to none."""
    if not registers.sctlr & _SCTLR_M:
        return address
    upper = address >> 55 & 1
    half = _half(registers, upper)
    bits = 64 - half.size_offset
    if half.disabled or not half.granule or not half.granule < bits <= 48:
        return None
    top = 56 if half.ignore_top_byte else 64
    sign = (1 << (top - bits)) - 1
    if address >> bits & sign != (sign if upper else 0):
        return None
    return _walk(memory, half, bits, address & (1 << bits) - 1)


def _half(registers: TranslationRegisters, upper: int) -> _Range:
    tcr = registers.tcr
    if upper:
        return _Range(
            table=registers.ttbr1 & _ADDRESS,
            size_offset=tcr >> 16 & 0x3F,
            granule=_TG1.get(tcr >> 30 & 3, 0),
            ignore_top_byte=tcr >> 38 & 1,
            disabled=tcr >> 23 & 1,
        )
    return _Range(
        table=registers.ttbr0 & _ADDRESS,
        size_offset=tcr & 0x3F,
        granule=_TG0.get(tcr >> 14 & 3, 0),
        ignore_top_byte=tcr >> 37 & 1,
        disabled=tcr >> 7 & 1,
    )


def _walk(memory: GuestMemory, half: _Range, bits: int, address: int) -> int | None:
    granule = half.granule
    stride = granule - 3
    # Level 3 is the last one; the first is where the remaining bits run out.
    first = 3 - (bits - granule - 1) // stride
    table = half.table
    for level in range(first, 4):
        shift = granule + stride * (3 - level)
        # The first table may be shorter, as its index has only the bits that are left.
        index = address >> shift & (1 << stride) - 1
        if not memory.contains(table + index * 8, 8):
            return None
        descriptor = memory.read_u64(table + index * 8)
        if not descriptor & _VALID:
            return None
        is_table_or_page = bool(descriptor & _TABLE_OR_PAGE)
        if level < 3 and is_table_or_page:
            table = descriptor & _ADDRESS & ~((1 << granule) - 1)
            continue
        if is_table_or_page != (level == 3) or (level < 3 and level not in _BLOCK_LEVELS[granule]):
            return None
        offset = (1 << shift) - 1
        return descriptor & _ADDRESS & ~offset | address & offset
    return None
