"""What kernels for PCs that others built find in low memory, and how they are entered.

 0x0_0000  never used (Linux and Unikraft reserve or unmap the page)
 0x0_1000  GDT
 0x0_2000  the protocol's information structure, a page
 0x0_3000  what it points to: memory map, list of modules, names
 0x0_4000  page tables: an identity map of the first 4 GiB
 0x2_0000  command line
 0x9_fc00  MP tables, in the last KiB of conventional memory
 0xa_0000  video memory, which is RAM here: text is at 0xb_8000
 0xf_0000  where a PC has its firmware
0x10_0000  extended memory
"""

from __future__ import annotations

from struct import Struct

from vmm.backends.registers import DescriptorTable, Segment
from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import RegisterValue
    from vmm.boot.placement import Placement
    from vmm.memory import GuestMemory

GDT: Final = 0x1000
INFORMATION: Final = 0x2000
TABLES: Final = 0x3000
TABLES_SIZE: Final = 0x1000
PAGE_TABLES: Final = 0x4000
COMMAND_LINE: Final = 0x2_0000
MAX_COMMAND_LINE: Final = 0x1_0000
CONVENTIONAL_END: Final = 0x9_FC00
VIDEO: Final = 0xA_0000
FIRMWARE: Final = 0xF_0000
EXTENDED: Final = 0x10_0000

# Types of memory in the maps of the BIOS (E820), multiboot and PVH.
USABLE: Final = 1
RESERVED: Final = 2

# Linux's boot protocol demands these selectors: __BOOT_CS and __BOOT_DS.
BOOT_CS: Final = 0x10
BOOT_DS: Final = 0x18

# Descriptor attributes as in `Segment.attributes`: present, ring 0, accessed.
_CODE_64: Final = 0xA09B
_CODE_32: Final = 0xC09B
_DATA: Final = 0xC093
_TSS_BUSY: Final = 0x8B
_LDT: Final = 0x82

_PROTECTED: Final = 0x11  # CR0: ET, PE
_LONG_CR0: Final = 0x8001_0011  # CR0: PG, WP, ET, PE
_PAE: Final = 0x20  # CR4
_LONG_EFER: Final = 0x500  # LMA, LME
_RFLAGS: Final = 0x2  # the bit that is always set; interrupts are off

_PAGE: Final = 0x1000
_GIB: Final = 1 << 30
_LARGE: Final = 2 << 20
_TABLE_ENTRY: Final = 0x23  # present, writable, accessed
_LARGE_ENTRY: Final = 0xE3  # and dirty, a page of 2 MiB
_IDENTITY_GIB: Final = 4

_ENTRY: Final = Struct("<Q")
_TABLE: Final = Struct("<512Q")
_GDT: Final = Struct("<4Q")


def memory_map(memory: GuestMemory) -> list[tuple[int, int, int]]:
    """Return (address, length, type) as a PC's firmware would report RAM."""
    entries = [
        (0, CONVENTIONAL_END, USABLE),
        (CONVENTIONAL_END, VIDEO - CONVENTIONAL_END, RESERVED),
        (FIRMWARE, EXTENDED - FIRMWARE, RESERVED),
    ]
    for region in memory.regions:
        start = max(region.base, EXTENDED)
        if start < region.end:
            entries.append((start, region.end - start, USABLE))
    return entries


def low_ram_end(memory: GuestMemory) -> int:
    """Return where the RAM below 4 GiB ends."""
    return memory.regions[0].end


def put_command_line(placement: Placement, text: str, limit: int = MAX_COMMAND_LINE - 1) -> int:
    """Put a command line at its place, with a NUL, and return its length without that.

    Raises:
        UsageError: if it is longer than ``limit`` bytes.
    """
    line = text.encode("utf-8", "surrogateescape")
    limit = min(limit, MAX_COMMAND_LINE - 1)
    if len(line) > limit:
        raise UsageError(f"the command line takes {len(line)} bytes, this kernel has {limit}")
    placement.put(COMMAND_LINE, line + b"\0", "command line")
    return len(line)


def enter_long_mode(placement: Placement, entry: int, **registers: int) -> dict[str, RegisterValue]:
    """Return the state for a 64-bit entry: paging on, the first 4 GiB where they are."""
    tables = bytearray(_PAGE)
    _ENTRY.pack_into(tables, 0, PAGE_TABLES + _PAGE | _TABLE_ENTRY)
    directories = [
        PAGE_TABLES + (2 + index) * _PAGE | _TABLE_ENTRY for index in range(_IDENTITY_GIB)
    ]
    tables += _TABLE.pack(*directories, *[0] * (512 - _IDENTITY_GIB))
    for gib in range(_IDENTITY_GIB):
        pages = range(gib * _GIB, (gib + 1) * _GIB, _LARGE)
        tables += _TABLE.pack(*[page | _LARGE_ENTRY for page in pages])
    placement.put(PAGE_TABLES, tables, "page tables")
    return start_long_mode(placement, entry, PAGE_TABLES, **registers)


def start_long_mode(
    placement: Placement, entry: int, tables: int, **registers: int
) -> dict[str, RegisterValue]:
    """Return the state for a 64-bit entry with the page tables at ``tables``."""
    return {
        "rip": entry,
        "rflags": _RFLAGS,
        "cr0": _LONG_CR0,
        "cr3": tables,
        "cr4": _PAE,
        "efer": _LONG_EFER,
        **_segments(placement, _CODE_64),
        **registers,
    }


def enter_protected_mode(
    placement: Placement, entry: int, **registers: int
) -> dict[str, RegisterValue]:
    """Return the state for a 32-bit entry: protected mode, no paging, flat segments."""
    return {
        "rip": entry,
        "rflags": _RFLAGS,
        "cr0": _PROTECTED,
        "cr3": 0,
        "cr4": 0,
        "efer": 0,
        **_segments(placement, _CODE_32),
        **registers,
    }


def _segments(placement: Placement, code: int) -> dict[str, RegisterValue]:
    table = _GDT.pack(0, 0, _descriptor(code), _descriptor(_DATA))
    placement.put(GDT, table, "GDT")
    flat = 0xFFFF_FFFF
    data = Segment(BOOT_DS, 0, flat, _DATA)
    return {
        "cs": Segment(BOOT_CS, 0, flat, code),
        **dict.fromkeys(("ds", "es", "fs", "gs", "ss"), data),
        # PVH asks for a TSS of 0x67 bytes; VM entry needs one of any size.
        "tr": Segment(0, 0, 0x67, _TSS_BUSY),
        "ldt": Segment(0, 0, 0, _LDT),
        "gdtr": DescriptorTable(GDT, len(table) - 1),
        "idtr": DescriptorTable(0, 0),
    }


def _descriptor(attributes: int) -> int:
    """Return a flat descriptor: base 0, limit 4 GiB."""
    return 0x000F_0000_0000_FFFF | attributes << 40
