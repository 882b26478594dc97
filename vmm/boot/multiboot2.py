"""The information tags of multiboot 2 (Multiboot2 Specification 2.0, 3.6), little-endian."""

from __future__ import annotations

from struct import Struct

from vmm.boot.x86_start import (
    CONVENTIONAL_END,
    EXTENDED,
    TABLES,
    TABLES_SIZE,
    low_ram_end,
    memory_map,
)
from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.boot.placement import BootRequest, Placement

END: Final = 0
COMMAND_LINE: Final = 1
LOADER_NAME: Final = 2
MODULE: Final = 3
BASIC_MEMORY: Final = 4
MEMORY_MAP: Final = 6

ALIGNMENT: Final = 8

_TAG: Final = Struct("<II")  # type, size
_MAP_HEADER: Final = Struct("<II")  # entry_size, entry_version
_MAP_ENTRY: Final = Struct("<QQII")  # address, length, type, reserved
_TWO_WORDS: Final = Struct("<II")

_KIB: Final = 1024


def put_information(placement: Placement, request: BootRequest) -> None:
    """Put the information tags, and the initrd as a module, into RAM."""
    memory = placement.memory
    lower = CONVENTIONAL_END // _KIB
    upper = max(low_ram_end(memory) - EXTENDED, 0) // _KIB
    entries = [_MAP_ENTRY.pack(*entry, 0) for entry in memory_map(memory)]
    line = request.command_line.encode("utf-8", "surrogateescape")
    tags = [
        _tag(COMMAND_LINE, line + b"\0"),
        _tag(LOADER_NAME, b"Calypso\0"),
        _tag(BASIC_MEMORY, _TWO_WORDS.pack(lower, upper)),
        _tag(MEMORY_MAP, _MAP_HEADER.pack(_MAP_ENTRY.size, 0) + b"".join(entries)),
    ]
    initrd = placement.load_initrd(request.initrd, below=low_ram_end(memory))
    if initrd is not None:
        tags.append(_tag(MODULE, _TWO_WORDS.pack(*initrd) + b"initrd\0"))
    tags.append(_tag(END, b""))
    body = b"".join(tags)
    total = _TWO_WORDS.size + len(body)
    if total > TABLES_SIZE:
        raise UsageError(f"the command line takes {len(line)} bytes, too many for multiboot 2")
    content = _TWO_WORDS.pack(total, 0) + body
    placement.put(TABLES, content.ljust(TABLES_SIZE, b"\0"), "multiboot 2 information")


def _tag(kind: int, content: bytes) -> bytes:
    tag = _TAG.pack(kind, _TAG.size + len(content)) + content
    return tag + bytes(-len(tag) % ALIGNMENT)
