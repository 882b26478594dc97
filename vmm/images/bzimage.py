"""Linux's bzImage for x86 (Documentation/arch/x86/boot.rst): setup code, then the kernel proper.

The setup code for real mode is left out: the kernel is entered in long mode, at 0x200, where it can
be, else in 32-bit protected mode, at its start.
"""

from __future__ import annotations

from struct import Struct

from vmm.arch import X86_64
from vmm.boot import linux_x86 as fields
from vmm.images.foreign import ForeignKernel
from vmm.images.image import BZIMAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Registers
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile

SECTOR: Final = 512
ENTRY_64: Final = 0x200

# Protocol 2.02 is the first with a 32-bit pointer to the command line, 2.06 with its length, 2.10
# with a preferred address, 2.12 with the 64-bit entry. Older kernels are those of another century.
OLDEST: Final = 0x0202
WITH_COMMAND_LINE_SIZE: Final = 0x0206
WITH_PREFERRED_ADDRESS: Final = 0x020A
WITH_64_BIT_ENTRY: Final = 0x020C

HIGH_ADDRESS: Final = 0x10_0000
OLD_COMMAND_LINE: Final = 255
OLD_INITRD_MAX: Final = 0x37FF_FFFF

# The header ends where the jump at 0x200 leads, one byte's reach at most.
MAX_HEADER_END: Final = 0x202 + 0x7F

# Bounds what is shown of a version's text; Linux's has some 120 characters.
MAX_VERSION: Final = 200

_U16: Final = Struct("<H")
_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")


class BzImage(ForeignKernel):
    """A bzImage.

    Attributes:
        version: of the boot protocol, 0x020F for 2.15.
    """

    KIND = BZIMAGE
    PROTOCOL = "Linux 32-bit boot"
    linux = True

    def __init__(self, file: ImageFile) -> None:
        super().__init__(file, X86_64)
        head = file.read(0, MAX_HEADER_END, "the setup header")
        self._head = head
        self.version = _U16.unpack_from(head, fields.VERSION)[0]
        self._check()
        if self.is_64_bit:
            self.protocol = "Linux 64-bit boot"

    @property
    def is_64_bit(self) -> bool:
        """Whether there is a 64-bit entry."""
        flags = _U16.unpack_from(self._head, fields.XLOADFLAGS)[0]
        return self.version >= WITH_64_BIT_ENTRY and bool(flags & fields.KERNEL_64)

    @property
    def address(self) -> int:
        """Where the kernel wants to be."""
        if self.version < WITH_PREFERRED_ADDRESS:
            return HIGH_ADDRESS
        return int(_U64.unpack_from(self._head, fields.PREF_ADDRESS)[0])

    def facts(self) -> dict[str, object]:
        """Return protocol version, addresses and sizes."""
        return {
            "boot_version": f"{self.version >> 8}.{self.version & 0xFF:02}",
            "kernel_version": self._kernel_version(),
            "loaded_at": self.address,
            "memory_minimum": self.address + self._memory_size(),
            "command_line_limit": self._command_line_limit(),
        }

    def load(self, placement: Placement, request: BootRequest) -> Registers:
        """Load the kernel with boot parameters."""
        from vmm.boot import acpi, mp_table, x86_start

        start = self._setup_size()
        size = self.file.size - start
        placement.load(self.file, start, size, self.address, "kernel", self._memory_size())
        limit = self._command_line_limit()
        x86_start.put_command_line(placement, request.command_line, limit)
        below = min(x86_start.low_ram_end(placement.memory), self._initrd_limit() + 1)
        initrd = placement.load_initrd(request.initrd, below=below)
        header = self._head[fields.SETUP_HEADER : self._header_end()]
        fields.put_boot_parameters(placement, header, None, initrd)
        mp_table.put_mp_table(placement, request.cpus)
        acpi.put_acpi_tables(placement, request.cpus, request.board.places)
        if self.is_64_bit:
            entry = self.address + ENTRY_64
            return x86_start.enter_long_mode(placement, entry, rsi=x86_start.INFORMATION)
        return x86_start.enter_protected_mode(
            placement, self.address, rsi=x86_start.INFORMATION, rbp=0, rdi=0, rbx=0
        )

    def _check(self) -> None:
        flag = _U16.unpack_from(self._head, fields.BOOT_FLAG)[0]
        if flag != fields.BOOT_FLAG_VALUE:
            self.fail(f"boot_flag is {flag:#x}, not 0xaa55")
        if self.version < OLDEST:
            self.fail(f"version {self.version:#x} of the boot protocol is older than 2.02")
        if not self._head[fields.LOADFLAGS] & fields.LOADED_HIGH:
            self.fail("loadflags: LOADED_HIGH is 0: a zImage, not a bzImage")
        if self._header_end() <= fields.INITRD_ADDR_MAX:
            self.fail(f"jump: the setup header ends at {self._header_end():#x}, inside its fields")
        if self._setup_size() >= self.file.size:
            self.fail(
                f"setup_sects: the kernel would begin at {self._setup_size():#x},"
                f" the file ends at {self.file.size:#x}"
            )
        if self.address < HIGH_ADDRESS:
            self.fail(f"pref_address {self.address:#x} is below 1 MiB")
        if self.address + self._memory_size() > 1 << 32:
            self.fail(f"init_size {self._memory_size():#x} reaches beyond 4 GiB")

    def _header_end(self) -> int:
        return int(fields.MAGIC + self._head[fields.JUMP + 1])

    def _setup_size(self) -> int:
        # 0 means 4, for kernels of before this field; the boot sector comes before.
        return ((self._head[fields.SETUP_HEADER] or 4) + 1) * SECTOR

    def _memory_size(self) -> int:
        size = self.file.size - self._setup_size()
        if self.version < WITH_PREFERRED_ADDRESS:
            return size
        return max(size, int(_U32.unpack_from(self._head, fields.INIT_SIZE)[0]))

    def _command_line_limit(self) -> int:
        if self.version < WITH_COMMAND_LINE_SIZE:
            return OLD_COMMAND_LINE
        return int(_U32.unpack_from(self._head, fields.CMDLINE_SIZE)[0])

    def _initrd_limit(self) -> int:
        return int(_U32.unpack_from(self._head, fields.INITRD_ADDR_MAX)[0]) or OLD_INITRD_MAX

    def _kernel_version(self) -> str | None:
        """Return the text that ``kernel_version`` points to, if there is one."""
        pointer = _U16.unpack_from(self._head, fields.KERNEL_VERSION)[0]
        start = pointer + fields.JUMP  # counted from the second sector
        length = min(MAX_VERSION, self._setup_size() - start)
        if not pointer or length <= 0:
            return None
        text = self.file.read(start, length, "the text of kernel_version")
        return text.partition(b"\0")[0].decode("ascii", "backslashreplace")


def recognise(file: ImageFile, elf: Elf | None) -> BzImage | None:
    """Return an image if ``file`` has Linux's setup header.

    Raises:
        UsageError: if it has, but is malformed.
    """
    if elf is not None or not file.head.startswith(b"HdrS", fields.MAGIC):
        return None
    return BzImage(file)
