"""Multiboot 1 kernels (Multiboot Specification 0.6.96): ELF32, ELF64, or any file that says where.

The kernel begins in 32-bit protected mode with EAX = 0x2BADB002 and EBX = the information.
"""

from __future__ import annotations

from struct import Struct

from vmm.arch import X86_64
from vmm.images.elf32 import Elf32, physical_entry
from vmm.images.foreign import ForeignKernel
from vmm.images.image import MULTIBOOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Registers
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf, Segment
    from vmm.images.file import ImageFile

HEADER_MAGIC: Final = 0x1BAD_B002
LOADER_MAGIC: Final = 0x2BAD_B002

# The header lies within the first 8 KiB, aligned to 32 bits (3.1).
SEARCHED: Final = 8192
ALIGNMENT: Final = 4

# flags: what a loader must do or else refuse (3.1.2). All our modules are on page boundaries and
# memory is always reported; a video mode is a wish only.
PAGE_ALIGN: Final = 1 << 0
MEMORY_INFO: Final = 1 << 1
VIDEO_MODE: Final = 1 << 2
REQUIREMENTS: Final = 0xFFFF
ADDRESSES: Final = 1 << 16

_HEADER: Final = Struct("<3I")  # magic, flags, checksum
# header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr
_ADDRESSES: Final = Struct("<5I")

_MAGIC_BYTES: Final = HEADER_MAGIC.to_bytes(4, "little")


class MultibootKernel(ForeignKernel):
    """A kernel with a multiboot 1 header.

    Attributes:
        header_offset: where in the file the header is.
        flags: of the header.
    """

    KIND = MULTIBOOT
    PROTOCOL = "Multiboot 1"

    def __init__(self, file: ImageFile, elf: Elf | None, offset: int, flags: int) -> None:
        super().__init__(file, X86_64, elf)
        self.header_offset = offset
        self.flags = flags
        unknown = flags & REQUIREMENTS & ~(PAGE_ALIGN | MEMORY_INFO | VIDEO_MODE)
        if unknown:
            self.fail(f"flags {flags:#x} of the multiboot header demand unknown features")
        self._segments, self.entry = self._read_layout()

    def facts(self) -> dict[str, object]:
        """Return the header's offset and flags, and where the kernel goes."""
        return {
            "multiboot_header": self.header_offset,
            "multiboot_flags": self.flags,
            "entry": self.entry,
            "loaded": [
                {"physical": s.physical, "file_size": s.file_size, "memory_size": s.memory_size}
                for s in self._segments
            ],
        }

    def load(self, placement: Placement, request: BootRequest) -> Registers:
        """Load the kernel with its information structure."""
        from vmm.boot.multiboot import put_information
        from vmm.boot.x86_start import INFORMATION, enter_protected_mode

        placement.load_segments(self.file, self._segments)
        put_information(placement, request)
        return enter_protected_mode(placement, self.entry, rax=LOADER_MAGIC, rbx=INFORMATION)

    def _read_layout(self) -> tuple[tuple[Segment, ...], int]:
        """Return what to load where, and the physical entry point."""
        if self.flags & ADDRESSES:
            return self._read_addresses()
        if self.elf is not None:
            loads, entry = self.elf.loads, self.elf.entry
        elif self.file.head.startswith(b"\x7fELF"):
            elf32 = Elf32(self.file)
            loads, entry = elf32.loads, elf32.entry
        else:
            self.fail("no ELF file, and bit 16 (addresses) of the multiboot header's flags is 0")
        entry = physical_entry(self.path, entry, loads)
        if entry >> 32:
            self.fail(f"e_entry {entry:#x} cannot be reached in 32-bit mode")
        return loads, entry

    def _read_addresses(self) -> tuple[tuple[Segment, ...], int]:
        from vmm.images.elf import PT_LOAD, Segment

        offset = self.header_offset
        content = self.file.read(
            offset + _HEADER.size, _ADDRESSES.size, "the address fields of the multiboot header"
        )
        header, start, end, bss_end, entry = _ADDRESSES.unpack(content)
        if not start <= header:
            self.fail(f"load_addr {start:#x} is above header_addr {header:#x}")
        if header - start > offset:
            self.fail(f"load_addr {start:#x} is before the start of the file")
        first = offset - (header - start)
        size = end - start if end else self.file.size - first
        if end and end < start:
            self.fail(f"load_end_addr {end:#x} is below load_addr {start:#x}")
        if first + size > self.file.size:
            self.fail(f"truncated: load_end_addr {end:#x} is behind the end of the file")
        if bss_end and bss_end < start + size:
            self.fail(f"bss_end_addr {bss_end:#x} is below the end of the data, {start + size:#x}")
        memory_size = bss_end - start if bss_end else size
        if not start <= entry < start + memory_size:
            self.fail(f"entry_addr {entry:#x} is outside what is loaded")
        return (Segment(PT_LOAD, 7, first, start, start, size, memory_size, 1),), entry


def recognise(file: ImageFile, elf: Elf | None) -> MultibootKernel | None:
    """Return an image if there is a multiboot 1 header in ``file``.

    Raises:
        UsageError: if there is, but the kernel is malformed.
    """
    if elf is not None and elf.arch != X86_64:
        return None
    content = file.read(0, min(file.size, SEARCHED), "the multiboot header")
    position = content.find(_MAGIC_BYTES)
    while 0 <= position <= len(content) - _HEADER.size:
        magic, flags, checksum = _HEADER.unpack_from(content, position)
        if position % ALIGNMENT == 0 and (magic + flags + checksum) & 0xFFFF_FFFF == 0:
            return MultibootKernel(file, elf, position, flags)
        position = content.find(_MAGIC_BYTES, position + 1)
    return None
