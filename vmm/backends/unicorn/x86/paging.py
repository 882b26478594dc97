"""Walks the page tables of an x86 guest in its RAM, in every paging mode.

Names of bits as in the APM, volume 2, chapter 5. Only the mapping is looked at: rights, reserved
bits and the TLB are the processor's business.
"""

from __future__ import annotations

from vmm.errors import GuestMemoryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.memory import GuestMemory

CR0_PE: Final = 1 << 0
CR0_PG: Final = 1 << 31
CR4_PSE: Final = 1 << 4
CR4_PAE: Final = 1 << 5
CR4_LA57: Final = 1 << 12
EFER_SCE: Final = 1 << 0
EFER_LME: Final = 1 << 8
EFER_LMA: Final = 1 << 10

_PRESENT: Final = 1 << 0
_PAGE_SIZE: Final = 1 << 7
_ADDRESS: Final = 0x000F_FFFF_FFFF_F000
_PAGE_SHIFT: Final = 12


def translate(
    memory: GuestMemory, address: int, cr0: int, cr3: int, cr4: int, efer: int
) -> int | None:
    """Return the guest-physical address of linear ``address``, or None where nothing is mapped.

    Tables that are not in RAM count as not present.
    """
    if not cr0 & CR0_PG:
        return address & 0xFFFF_FFFF
    try:
        if not cr4 & CR4_PAE:
            return _walk_legacy(memory, address & 0xFFFF_FFFF, cr3, cr4)
        if not efer & EFER_LMA:
            return _walk_pae(memory, address & 0xFFFF_FFFF, cr3)
        return _walk_long(memory, address, cr3, levels=5 if cr4 & CR4_LA57 else 4)
    except GuestMemoryError:
        return None


def _walk_long(memory: GuestMemory, address: int, cr3: int, levels: int) -> int | None:
    sign = 9 * levels + _PAGE_SHIFT - 1
    if address >> sign not in (0, (1 << (64 - sign)) - 1):
        return None  # not canonical
    return _walk(memory, address, cr3 & _ADDRESS, levels)


def _walk_pae(memory: GuestMemory, address: int, cr3: int) -> int | None:
    pointer = memory.read_u64((cr3 & 0xFFFF_FFE0) + 8 * (address >> 30))
    if not pointer & _PRESENT:
        return None
    return _walk(memory, address, pointer & _ADDRESS, levels=2)


def _walk(memory: GuestMemory, address: int, table: int, levels: int) -> int | None:
    """Walk tables of 512 entries of 8 bytes."""
    for level in range(levels - 1, -1, -1):
        shift = _PAGE_SHIFT + 9 * level
        entry = memory.read_u64(table + 8 * (address >> shift & 511))
        if not entry & _PRESENT:
            return None
        if level == 0 or (entry & _PAGE_SIZE and level <= 2):
            offset = (1 << shift) - 1
            return entry & _ADDRESS & ~offset | address & offset
        table = entry & _ADDRESS
    return None


def _walk_legacy(memory: GuestMemory, address: int, cr3: int, cr4: int) -> int | None:
    """Walk tables of 1024 entries of 4 bytes, with pages of 4 KiB and (PSE) 4 MiB."""
    entry = memory.read_u32((cr3 & 0xFFFF_F000) + 4 * (address >> 22))
    if not entry & _PRESENT:
        return None
    if entry & _PAGE_SIZE and cr4 & CR4_PSE:
        high = (entry >> 13 & 0xFF) << 32  # PSE-36
        return high | entry & 0xFFC0_0000 | address & 0x3F_FFFF
    entry = memory.read_u32((entry & 0xFFFF_F000) + 4 * (address >> 12 & 1023))
    if not entry & _PRESENT:
        return None
    return entry & 0xFFFF_F000 | address & 0xFFF
