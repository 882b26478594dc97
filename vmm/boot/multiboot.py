"""The information structure of multiboot 1 (Multiboot Specification 0.6.96, 3.3), little-endian."""

from __future__ import annotations

from struct import Struct

from vmm.boot.x86_start import (
    COMMAND_LINE,
    CONVENTIONAL_END,
    EXTENDED,
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

# flags: which fields are valid.
MEMORY: Final = 1 << 0
CMDLINE: Final = 1 << 2
MODULES: Final = 1 << 3
MEMORY_MAP: Final = 1 << 6
LOADER_NAME: Final = 1 << 9

LOADER: Final = b"Calypso\0"

# flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms (4 words),
# mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name
_INFORMATION: Final = Struct("<17I")
# The rest, to framebuffer and colour fields, is zero: APM, VBE, framebuffer.
SIZE: Final = 120

_MAP_ENTRY: Final = Struct("<IQQI")  # size of the rest, address, length, type
_MODULE: Final = Struct("<4I")  # start, end, string, reserved

# mem_upper counts in KiB and need not tell of memory behind the first hole.
_KIB: Final = 1024


def put_information(placement: Placement, request: BootRequest) -> None:
    """Put the information structure, all it points to, and the initrd as a module, into RAM."""
    memory = placement.memory
    entries = [_MAP_ENTRY.pack(20, *entry) for entry in memory_map(memory)]
    flags = MEMORY | CMDLINE | MEMORY_MAP | LOADER_NAME
    # By convention the line begins with the kernel's name, as in argv.
    put_command_line(placement, f"{request.name} {request.command_line}".rstrip())
    table = bytearray(b"".join(entries))
    map_length = len(table)
    name = TABLES + len(table)
    table += LOADER
    modules, module_count = 0, 0
    initrd = placement.load_initrd(request.initrd, below=low_ram_end(memory))
    if initrd is not None:
        flags |= MODULES
        table += bytes(-len(table) % 4)
        modules, module_count = TABLES + len(table), 1
        table += _MODULE.pack(*initrd, modules + _MODULE.size, 0) + b"initrd\0"
    placement.put(TABLES, table.ljust(TABLES_SIZE, b"\0"), "boot tables")
    content = _INFORMATION.pack(
        flags,
        CONVENTIONAL_END // _KIB,
        max(low_ram_end(memory) - EXTENDED, 0) // _KIB,
        0,
        COMMAND_LINE,
        module_count,
        modules,
        *(0, 0, 0, 0),
        map_length,
        TABLES,
        *(0, 0, 0),
        name,
    )
    placement.put(INFORMATION, content.ljust(SIZE, b"\0"), "multiboot information")
