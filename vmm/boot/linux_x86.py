"""Linux's boot parameters for x86, the "zero page".

Documentation/arch/x86/zero-page.rst and boot.rst; little-endian.

The kernel's setup header begins at 0x1F1, in the page as in a bzImage.
"""

from __future__ import annotations

from struct import Struct

from vmm.boot.x86_start import COMMAND_LINE, INFORMATION, memory_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.boot.placement import Placement

SIZE: Final = 0x1000

# Outside the setup header.
E820_ENTRIES: Final = 0x1E8
E820_TABLE: Final = 0x2D0
MAX_E820: Final = 128
EXT_RAMDISK_IMAGE: Final = 0x0C0
EXT_RAMDISK_SIZE: Final = 0x0C4

# The setup header.
SETUP_HEADER: Final = 0x1F1
BOOT_FLAG: Final = 0x1FE
JUMP: Final = 0x200
MAGIC: Final = 0x202
VERSION: Final = 0x206
KERNEL_VERSION: Final = 0x20E
TYPE_OF_LOADER: Final = 0x210
LOADFLAGS: Final = 0x211
RAMDISK_IMAGE: Final = 0x218
RAMDISK_SIZE: Final = 0x21C
CMD_LINE_PTR: Final = 0x228
INITRD_ADDR_MAX: Final = 0x22C
XLOADFLAGS: Final = 0x236
CMDLINE_SIZE: Final = 0x238
PREF_ADDRESS: Final = 0x258
INIT_SIZE: Final = 0x260

BOOT_FLAG_VALUE: Final = 0xAA55
MAGIC_VALUE: Final = 0x5372_6448  # "HdrS"
LOADER_UNDEFINED: Final = 0xFF
LOADED_HIGH: Final = 1 << 0  # loadflags
KERNEL_64: Final = 1 << 0  # xloadflags

_E820: Final = Struct("<QQI")
_U16: Final = Struct("<H")
_U32: Final = Struct("<I")

_LOW: Final = 0xFFFF_FFFF


def put_boot_parameters(
    placement: Placement,
    setup_header: bytes,
    command_line_length: int | None,
    initrd: tuple[int, int] | None,
) -> None:
    """Put the page into RAM.

    Args:
        placement: where.
        setup_header: from the kernel's file, from 0x1F1 on; empty for an ELF kernel, which has
            none of its own.
        command_line_length: what to tell a kernel that has no limit of its own in its header.
        initrd: its first address and the first behind it.
    """
    page = bytearray(SIZE)
    page[SETUP_HEADER : SETUP_HEADER + len(setup_header)] = setup_header
    entries = memory_map(placement.memory)[:MAX_E820]
    page[E820_ENTRIES] = len(entries)
    for index, entry in enumerate(entries):
        _E820.pack_into(page, E820_TABLE + index * _E820.size, *entry)
    _U16.pack_into(page, BOOT_FLAG, BOOT_FLAG_VALUE)
    _U32.pack_into(page, MAGIC, MAGIC_VALUE)
    page[TYPE_OF_LOADER] = LOADER_UNDEFINED
    page[LOADFLAGS] |= LOADED_HIGH
    _U32.pack_into(page, CMD_LINE_PTR, COMMAND_LINE)
    if command_line_length is not None:
        _U32.pack_into(page, CMDLINE_SIZE, command_line_length)
    if initrd is not None:
        start, end = initrd
        _U32.pack_into(page, RAMDISK_IMAGE, start & _LOW)
        _U32.pack_into(page, RAMDISK_SIZE, (end - start) & _LOW)
        _U32.pack_into(page, EXT_RAMDISK_IMAGE, start >> 32)
        _U32.pack_into(page, EXT_RAMDISK_SIZE, (end - start) >> 32)
    placement.put(INFORMATION, page, "boot parameters")
