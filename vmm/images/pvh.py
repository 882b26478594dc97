"""x86 kernels with a PVH entry (Xen's docs/misc/pvh.pandoc): Linux, BSDs and unikernels as ELF.

The note "Xen" of type 18 (XEN_ELFNOTE_PHYS32_ENTRY) names the physical address at which the kernel
begins in 32-bit protected mode, with EBX = the start information.
"""

from __future__ import annotations

from vmm.arch import X86_64
from vmm.images.foreign import ForeignKernel
from vmm.images.image import PVH
from vmm.images.linux_elf import is_linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Registers
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile

NOTE_NAME: Final = "Xen"
NOTE_PHYS32_ENTRY: Final = 18


class PvhKernel(ForeignKernel):
    """An ELF kernel with a PVH note.

    Attributes:
        pvh_entry: where it begins, physical.
    """

    KIND = PVH
    PROTOCOL = "PVH"

    def __init__(self, file: ImageFile, elf: Elf, entry: bytes) -> None:
        super().__init__(file, X86_64, elf)
        self._elf = elf
        if len(entry) not in (4, 8):
            self.fail(f"the note XEN_ELFNOTE_PHYS32_ENTRY has {len(entry)} bytes, not 4 or 8")
        self.pvh_entry = int.from_bytes(entry, "little")
        self.linux = is_linux(elf)
        if not any(s.physical <= self.pvh_entry < s.physical + s.memory_size for s in elf.loads):
            self.fail(f"the PVH entry {self.pvh_entry:#x} is not inside a segment")
        if self.pvh_entry >> 32:
            self.fail(f"the PVH entry {self.pvh_entry:#x} cannot be reached in 32-bit mode")

    def facts(self) -> dict[str, object]:
        """Return the entry."""
        return {"pvh_entry": self.pvh_entry}

    def load(self, placement: Placement, request: BootRequest) -> Registers:
        """Load the kernel with its start information."""
        from vmm.boot import acpi, mp_table, pvh, x86_start

        placement.load_segments(self.file, self._elf.loads)
        pvh.put_start_information(placement, request)
        mp_table.put_mp_table(placement, request.cpus)
        acpi.put_acpi_tables(placement, request.cpus, request.board.places)
        return x86_start.enter_protected_mode(placement, self.pvh_entry, rbx=x86_start.INFORMATION)


def recognise(file: ImageFile, elf: Elf | None) -> PvhKernel | None:
    """Return an image if ``file`` is an x86_64 ELF file with a PVH note.

    Raises:
        UsageError: if the note is malformed.
    """
    if elf is None or elf.arch != X86_64:
        return None
    for note in elf.notes():
        if note.name == NOTE_NAME and note.type == NOTE_PHYS32_ENTRY:
            return PvhKernel(file, elf, note.description)
    return None
