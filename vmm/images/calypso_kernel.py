"""Calypso's own kernel: an ELF file linked into the direct map, with a note that says so.

The note has the name "Calypso", type 1 and one 32-bit word: the ABI version the kernel speaks.
"""

from __future__ import annotations

from vmm.boot.memory_map import MEMORY_MAPS
from vmm.errors import UsageError
from vmm.hypercall import abi
from vmm.images.elf import PF_R, PF_W, PF_X
from vmm.images.image import CALYPSO_KERNEL, Image
from vmm.memory import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile

NOTE_NAME: Final = "Calypso"
NOTE_ABI_VERSION: Final = 1


def recognise(file: ImageFile, elf: Elf | None) -> Image | None:
    """Return an image if ``file`` is a kernel of ours.

    Raises:
        UsageError: if it is one of another ABI version, or linked to where it cannot run.
    """
    if elf is None or elf.loads[0].virtual >> 63 == 0:
        return None
    version = _abi_version(elf)
    if version is None:
        return None
    if version != abi.ABI_VERSION:
        raise UsageError(
            f"{file.path}: this kernel speaks ABI version {version}, this VMM {abi.ABI_VERSION}:"
            " use the kernel that came with the VMM"
        )
    _check_addresses(file, elf)
    elf.check_entry()
    return Image(file, CALYPSO_KERNEL, elf)


def _abi_version(elf: Elf) -> int | None:
    for note in elf.notes():
        if note.name == NOTE_NAME and note.type == NOTE_ABI_VERSION:
            return int.from_bytes(note.description[:4], "little")
    return None


def _check_addresses(file: ImageFile, elf: Elf) -> None:
    memory_map = MEMORY_MAPS[elf.arch]
    for segment in elf.loads:
        if segment.virtual != memory_map.direct_map + segment.physical:
            raise UsageError(
                f"{file.path}: p_vaddr {segment.virtual:#x} is not"
                f" {memory_map.direct_map:#x} + p_paddr {segment.physical:#x}"
            )
        if segment.physical % PAGE_SIZE:
            raise UsageError(
                f"{file.path}: p_paddr {segment.physical:#x} is not a multiple of 4096, so that"
                " two segments could need different rights to one page"
            )
        if segment.flags not in (0, PF_R, PF_R | PF_W, PF_R | PF_X):
            raise UsageError(
                f"{file.path}: p_flags of the segment at {segment.virtual:#x} are none of"
                " R, RW, RX and 0 (a guard that is not mapped)"
            )
        if segment.physical < memory_map.kernel:
            raise UsageError(
                f"{file.path}: p_paddr {segment.physical:#x} is below {memory_map.kernel:#x},"
                " where kernels start"
            )
