"""The start information of PVH: ``struct hvm_start_info`` version 1, little-endian.

Xen's public/arch-x86/hvm/start_info.h.
"""

from __future__ import annotations

from struct import Struct

from vmm.boot.x86_start import (
    COMMAND_LINE,
    INFORMATION,
    TABLES,
    TABLES_SIZE,
    low_ram_end,
    memory_map,
    put_command_line,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.boot.placement import BootRequest, Placement

MAGIC: Final = 0x336E_C578
VERSION: Final = 1

# magic, version, flags, nr_modules, modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr,
# memmap_entries
_START_INFO: Final = Struct("<4I4QI4x")
_MODULE: Final = Struct("<4Q")  # address, size, command line, reserved
_MEMORY: Final = Struct("<QQI4x")  # address, size, type as in E820


def put_start_information(placement: Placement, request: BootRequest) -> None:
    """Put the start information, all it points to, and the initrd as a module, into RAM."""
    entries = memory_map(placement.memory)
    table = bytearray(b"".join([_MEMORY.pack(*entry) for entry in entries]))
    put_command_line(placement, request.command_line)
    below = low_ram_end(placement.memory)
    initrd = placement.load_initrd(request.initrd, below=below)
    modules = 0
    if initrd is not None:
        start, end = initrd
        modules = TABLES + len(table)
        table += _MODULE.pack(start, end - start, 0, 0)
    placement.put(TABLES, table.ljust(TABLES_SIZE, b"\0"), "boot tables")
    content = _START_INFO.pack(
        MAGIC,
        VERSION,
        0,
        int(modules != 0),
        modules,
        COMMAND_LINE,
        0,
        TABLES,
        len(entries),
    )
    placement.put(INFORMATION, content, "PVH start information")
