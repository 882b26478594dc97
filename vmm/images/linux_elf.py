"""x86_64 ELF kernels with Linux's 64-bit boot protocol: vmlinux, and what Firecracker boots.

The kernel begins at its entry, a physical address, in long mode with RSI = the boot parameters
(Documentation/arch/x86/boot.rst, "64-bit boot protocol").
"""

from __future__ import annotations

from vmm.arch import X86_64
from vmm.images.elf import EXEC, PF_X
from vmm.images.foreign import ForeignKernel
from vmm.images.image import LINUX_BOOT
from vmm.images.linux_program import KERNEL_PLACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.backends.api import Registers
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile


class LinuxElf(ForeignKernel):
    """An ELF kernel that is entered in long mode."""

    KIND = LINUX_BOOT
    PROTOCOL = "Linux 64-bit boot"

    def __init__(self, file: ImageFile, elf: Elf) -> None:
        super().__init__(file, X86_64, elf)
        self._elf = elf
        self.linux = is_linux(elf)

    def load(self, placement: Placement, request: BootRequest) -> Registers:
        """Load the kernel with boot parameters."""
        from vmm.boot import acpi, linux_x86, mp_table, x86_start

        placement.load_segments(self.file, self._elf.loads)
        length = x86_start.put_command_line(placement, request.command_line)
        below = x86_start.low_ram_end(placement.memory)
        initrd = placement.load_initrd(request.initrd, below=below)
        linux_x86.put_boot_parameters(placement, b"", length, initrd)
        mp_table.put_mp_table(placement, request.cpus)
        acpi.put_acpi_tables(placement, request.cpus, request.board.places)
        return x86_start.enter_long_mode(placement, self._elf.entry, rsi=x86_start.INFORMATION)


def recognise(file: ImageFile, elf: Elf | None) -> LinuxElf | None:
    """Return an image if ``file`` is an x86_64 ELF kernel whose entry is a physical address."""
    if elf is None or elf.arch != X86_64 or elf.type != EXEC or not _is_placed(elf):
        return None
    for segment in elf.loads:
        inside = segment.physical <= elf.entry < segment.physical + segment.memory_size
        if inside and segment.flags & PF_X:
            return LinuxElf(file, elf)
    return None


def _is_placed(elf: Elf) -> bool:
    """Tell whether the kernel is linked to the upper half, or to where kernels are."""
    start, end = KERNEL_PLACES[X86_64]
    return any(s.virtual >> 63 for s in elf.loads) or start <= elf.loads[0].physical < end


def is_linux(elf: Elf) -> bool:
    """Tell whether a kernel calls itself Linux, in a note of its own or of Xen's."""
    return any(
        note.name == "Linux" or note.description.rstrip(b"\0") == b"linux" for note in elf.notes()
    )
