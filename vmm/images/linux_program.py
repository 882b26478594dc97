"""A Linux program: a static, static-PIE or dynamic ELF executable, run by Calypso's kernel."""

from __future__ import annotations

from vmm.errors import UsageError
from vmm.images.elf import DYN
from vmm.images.image import LINUX_PROGRAM, Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile

# Both architectures give user space the addresses below 2**47 at least.
USER_END: Final = 1 << 47

# EI_OSABI: System V (what most say) and GNU/Linux.
OS_ABIS: Final = (0, 3)

# Notes of systems whose executables look like Linux's in all else.
FOREIGN_NOTES: Final = frozenset({"FreeBSD", "NetBSD", "OpenBSD", "Solo5", "Xen"})


def recognise(file: ImageFile, elf: Elf | None) -> Image | None:
    """Return an image if ``file`` is a program for Linux.

    Raises:
        UsageError: if it is one that contradicts itself.
    """
    if elf is None or file.head[7] not in OS_ABIS or elf.loads[0].virtual >> 63:
        return None
    if elf.type == DYN and elf.entry == 0:  # a shared library
        return None
    if any(note.name in FOREIGN_NOTES for note in elf.notes()):
        return None
    last = elf.loads[-1]
    if last.end > USER_END:
        raise UsageError(
            f"{file.path}: p_vaddr {last.virtual:#x} + p_memsz {last.memory_size:#x} is beyond"
            f" the end of user space at {USER_END:#x}"
        )
    elf.check_entry()
    return Image(file, LINUX_PROGRAM, elf)
