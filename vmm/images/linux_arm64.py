"""arm64 Images: Linux's, and other kernels with its header (Documentation/arch/arm64/booting.rst).

The kernel begins at the first byte of the file, with X0 = the device tree. Images with an EFI stub
are entered like the others: the stub is for firmware.
"""

from __future__ import annotations

from struct import Struct

from vmm.arch import ARM64
from vmm.boards.options import FIRECRACKER, VIRT, BoardOptions
from vmm.images.foreign import ForeignKernel
from vmm.images.image import LINUX_ARM64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Registers
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile

MAGIC: Final = b"ARM\x64"
MAGIC_OFFSET: Final = 56

# code0, code1, text_offset, image_size, flags, three reserved, magic, offset of the PE header
_HEADER: Final = Struct("<2I6Q4sI")

BIG_ENDIAN: Final = 1 << 0  # flags
ALIGNMENT: Final = 2 << 20

# Before image_size was introduced (Linux 3.17), it and text_offset could not be relied on.
OLD_TEXT_OFFSET: Final = 0x8_0000

# Linux is position-independent, and its text_offset is 0 since 5.8. Images of other projects can
# be linked to one address, which the header does not tell; but the words of the file that point
# into it do. Where RAM begins, for the boards that such images are built for:
RAM_BASES: Final = {0x4000_0000: VIRT, 0x8000_0000: FIRECRACKER}
# Linked images are small; reading more would take longer than it is worth.
MAX_LINKED_SIZE: Final = 16 << 20
# A few words of other meaning may look like pointers.
MIN_POINTERS: Final = 8


class LinuxArm64(ForeignKernel):
    """An Image.

    Attributes:
        text_offset: of the kernel from a 2 MiB boundary.
        memory_size: bytes it needs from there.
    """

    KIND = LINUX_ARM64
    PROTOCOL = "arm64 Linux boot"

    def __init__(self, file: ImageFile) -> None:
        super().__init__(file, ARM64)
        header = _HEADER.unpack(file.read(0, _HEADER.size, "the Image header"))
        self.text_offset, self.image_size, self.flags = header[2:5]
        if self.flags & BIG_ENDIAN:
            self.fail("flags: bit 0 says that the kernel is big-endian, which is not supported")
        if not self.image_size:
            self.text_offset = OLD_TEXT_OFFSET
        if self.text_offset >= ALIGNMENT:
            self.fail(f"text_offset {self.text_offset:#x} is not below 2 MiB")
        if self.image_size >> 40:
            self.fail(f"image_size {self.image_size:#x} is more than any machine has")
        self.memory_size = max(self.image_size, file.size)
        self.linked_to = self._find_linked_base() if self.text_offset else None
        self.linux = self.linked_to is None
        if self.linked_to is not None:
            model = RAM_BASES[self.linked_to]
            self.board = BoardOptions(model, 2 if model == VIRT else 3)

    def facts(self) -> dict[str, object]:
        """Return the header's fields, and the start of RAM that the code is linked for."""
        return {
            "text_offset": self.text_offset,
            "image_size": self.image_size,
            "flags": self.flags,
            "memory_minimum": self.text_offset + self.memory_size,
            "linked_for_ram_at": self.linked_to,
        }

    def load(self, placement: Placement, request: BootRequest) -> Registers:
        """Load the kernel, with the device tree high in RAM."""
        from vmm.boot import arm64_start

        base = -(-placement.memory.regions[0].base // ALIGNMENT) * ALIGNMENT
        gpa = base + self.text_offset
        placement.load(self.file, 0, self.file.size, gpa, "kernel", self.memory_size)
        return arm64_start.enter(gpa, arm64_start.put_device_tree(placement, request))

    def _find_linked_base(self) -> int | None:
        """Return where the image expects RAM to begin, if it holds pointers that tell."""
        if self.file.size > MAX_LINKED_SIZE:
            return None
        length = self.file.size & ~7
        words = memoryview(self.file.read(0, length, "the kernel")).cast("Q")
        counts = dict.fromkeys(RAM_BASES, 0)
        for word in words:
            if word >> 32 == 0:
                base = word & 0xC000_0000
                if base in counts and word - base - self.text_offset < self.memory_size:
                    counts[base] += word - base >= self.text_offset
        best = max(counts, key=counts.__getitem__)
        return best if counts[best] >= MIN_POINTERS else None


def recognise(file: ImageFile, elf: Elf | None) -> LinuxArm64 | None:
    """Return an image if ``file`` has the Image header.

    Raises:
        UsageError: if it has, but is malformed.
    """
    if elf is not None or not file.head.startswith(MAGIC, MAGIC_OFFSET):
        return None
    return LinuxArm64(file)
