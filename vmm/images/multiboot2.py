"""Multiboot 2 kernels (Multiboot2 Specification 2.0): header tags say what the kernel wants.

The kernel begins in 32-bit protected mode with EAX = 0x36D76289 and EBX = the information tags.
"""

from __future__ import annotations

from struct import Struct

from vmm.arch import X86_64
from vmm.errors import UsageError
from vmm.images.elf import PT_LOAD, Segment
from vmm.images.elf32 import Elf32, physical_entry
from vmm.images.foreign import ForeignKernel
from vmm.images.image import MULTIBOOT2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Registers
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile

HEADER_MAGIC: Final = 0xE852_50D6
LOADER_MAGIC: Final = 0x36D7_6289
I386: Final = 0  # architecture: 32-bit protected mode

# The header lies within the first 32 KiB, aligned to 64 bits (3.1.1).
SEARCHED: Final = 32768
ALIGNMENT: Final = 8

# Types of header tags (3.1.3 and on).
END: Final = 0
INFORMATION_REQUEST: Final = 1
ADDRESS: Final = 2
ENTRY: Final = 3
OPTIONAL: Final = 1  # flags of a tag

# Those that ask for nothing a PC without firmware lacks: console flags, framebuffer (a wish),
# module alignment, EFI boot services and entries (for EFI only), relocatable.
HARMLESS: Final = frozenset((INFORMATION_REQUEST, 4, 5, 6, 7, 8, 9, 10))

_HEADER: Final = Struct("<4I")  # magic, architecture, header_length, checksum
_TAG: Final = Struct("<HHI")  # type, flags, size
_ADDRESSES: Final = Struct("<4I")  # header_addr, load_addr, load_end_addr, bss_end_addr

_MAGIC_BYTES: Final = HEADER_MAGIC.to_bytes(4, "little")


class Multiboot2Kernel(ForeignKernel):
    """A kernel with a multiboot 2 header.

    Attributes:
        header_offset: where in the file the header is.
        tags: type of each of its tags, and the content.
    """

    KIND = MULTIBOOT2
    PROTOCOL = "Multiboot 2"

    def __init__(self, file: ImageFile, elf: Elf | None, offset: int, length: int) -> None:
        super().__init__(file, X86_64, elf)
        self.header_offset = offset
        self.tags = self._read_tags(length)
        self._segments, entry = self._read_layout()
        if ENTRY in self.tags:
            entry = self._word(ENTRY, 0)
        if entry >> 32:
            self.fail(f"e_entry {entry:#x} cannot be reached in 32-bit mode")
        self.entry = entry

    def facts(self) -> dict[str, object]:
        """Return the header's offset and tags, and where the kernel goes."""
        return {
            "multiboot_header": self.header_offset,
            "multiboot_tags": sorted(self.tags),
            "entry": self.entry,
            "loaded": [
                {"physical": s.physical, "file_size": s.file_size, "memory_size": s.memory_size}
                for s in self._segments
            ],
        }

    def load(self, placement: Placement, request: BootRequest) -> Registers:
        """Load the kernel with its information tags."""
        from vmm.boot.multiboot2 import put_information
        from vmm.boot.x86_start import TABLES, enter_protected_mode

        placement.load_segments(self.file, self._segments)
        put_information(placement, request)
        return enter_protected_mode(placement, self.entry, rax=LOADER_MAGIC, rbx=TABLES)

    def _read_tags(self, length: int) -> dict[int, bytes]:
        content = self.file.read(self.header_offset, length, "the multiboot 2 header")
        tags: dict[int, bytes] = {}
        position = _HEADER.size
        while position + _TAG.size <= length:
            kind, flags, size = _TAG.unpack_from(content, position)
            if kind == END:
                return tags
            if size < _TAG.size or position + size > length:
                self.fail(f"size {size} of the header tag at {position:#x} is outside the header")
            if kind not in HARMLESS and kind not in (ADDRESS, ENTRY) and not flags & OPTIONAL:
                self.fail(f"the header tag of type {kind} is unknown, and not optional")
            tags[kind] = content[position + _TAG.size : position + size]
            position += -(-size // ALIGNMENT) * ALIGNMENT
        raise UsageError(
            f"{self.path}: header_length: the header's tags do not end with one of type 0"
        )

    def _word(self, kind: int, index: int) -> int:
        content = self.tags[kind][4 * index : 4 * index + 4]
        if len(content) < 4:
            self.fail(f"the header tag of type {kind} is too short")
        return int.from_bytes(content, "little")

    def _read_layout(self) -> tuple[tuple[Segment, ...], int]:
        """Return what to load where, and the physical entry point."""
        if ADDRESS in self.tags:
            return (self._read_addresses(),), self._word(ENTRY, 0) if ENTRY in self.tags else -1
        if self.elf is not None:
            return self.elf.loads, physical_entry(self.path, self.elf.entry, self.elf.loads)
        if self.file.head.startswith(b"\x7fELF"):
            elf32 = Elf32(self.file)
            return elf32.loads, physical_entry(self.path, elf32.entry, elf32.loads)
        raise UsageError(
            f"{self.path}: no ELF file, and the multiboot 2 header has no address tag (2)"
        )

    def _read_addresses(self) -> Segment:
        if ENTRY not in self.tags:
            self.fail("the multiboot 2 header has an address tag (2) but no entry tag (3)")
        header, start, end, bss_end = [self._word(ADDRESS, index) for index in range(4)]
        # A load_addr of -1 means the start of the file.
        first = 0 if start == 0xFFFF_FFFF else self.header_offset - (header - start)
        if start == 0xFFFF_FFFF:
            start = header - self.header_offset
        if start < 0 or start > header or first < 0:
            self.fail(f"load_addr {start:#x} does not fit header_addr {header:#x}")
        size = end - start if end else self.file.size - first
        if size <= 0 or first + size > self.file.size:
            self.fail(f"load_end_addr {end:#x} is outside the file")
        if bss_end and bss_end < start + size:
            self.fail(f"bss_end_addr {bss_end:#x} is below the end of the data, {start + size:#x}")
        memory_size = bss_end - start if bss_end else size
        return Segment(PT_LOAD, 7, first, start, start, size, memory_size, 1)


def recognise(file: ImageFile, elf: Elf | None) -> Multiboot2Kernel | None:
    """Return an image if there is a multiboot 2 header in ``file``.

    Raises:
        UsageError: if there is, but the kernel is malformed.
    """
    if elf is not None and elf.arch != X86_64:
        return None
    content = file.read(0, min(file.size, SEARCHED), "the multiboot 2 header")
    position = content.find(_MAGIC_BYTES)
    while 0 <= position <= len(content) - _HEADER.size:
        magic, architecture, length, checksum = _HEADER.unpack_from(content, position)
        valid = (magic + architecture + length + checksum) & 0xFFFF_FFFF == 0
        if valid and position % ALIGNMENT == 0 and architecture == I386:
            return Multiboot2Kernel(file, elf, position, length)
        position = content.find(_MAGIC_BYTES, position + 1)
    return None
