"""A Linux program: a static, static-PIE or dynamic ELF executable, run by Calypso's kernel."""

from __future__ import annotations

from vmm.arch import ARM64, X86_64
from vmm.errors import UsageError
from vmm.images.elf import DYN, EXEC, PT_INTERP
from vmm.images.image import LINUX_PROGRAM, Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.images.elf import Elf, Note
    from vmm.images.file import ImageFile

# Both architectures give user space the addresses below 2**47 at least.
USER_END: Final = 1 << 47

# EI_OSABI: System V (what most say) and GNU/Linux.
OS_ABIS: Final = (0, 3)

# Notes of systems whose executables look like Linux's in all else.
FOREIGN_NOTES: Final = frozenset({"FreeBSD", "HERMIT", "NetBSD", "OpenBSD", "Solo5", "Xen"})

# Where kernels are linked and linkers put no program: from 1 MiB on a PC, in RAM on arm64. (first
# address, and the first behind them)
KERNEL_PLACES: Final = {X86_64: (0x10_0000, 0x20_0000), ARM64: (0x4000_0000, 0x1_0000_0000)}

# The note of libc's start files that says which kernel a program is for.
ABI_TAG: Final = ("GNU", 1)

# Multiboot 1 and 2, little-endian: kernels of theirs may be linked anywhere.
MULTIBOOT_MAGICS: Final = (b"\x02\xb0\xad\x1b", b"\xd6\x50\x52\xe8")


def recognise(file: ImageFile, elf: Elf | None) -> Image | None:
    """Return an image if ``file`` is a program for Linux.

    Raises:
        UsageError: if it is one that contradicts itself.
    """
    if elf is None or file.head[7] not in OS_ABIS or elf.loads[0].virtual >> 63:
        return None
    if elf.type == DYN and elf.entry == 0:  # a shared library
        return None
    notes = elf.notes()
    if any(note.name in FOREIGN_NOTES for note in notes) or _is_kernel(file, elf, notes):
        return None
    last = elf.loads[-1]
    if last.end > USER_END:
        raise UsageError(
            f"{file.path}: p_vaddr {last.virtual:#x} + p_memsz {last.memory_size:#x} is beyond"
            f" the end of user space at {USER_END:#x}"
        )
    elf.check_entry()
    return Image(file, LINUX_PROGRAM, elf)


def _is_kernel(file: ImageFile, elf: Elf, notes: list[Note]) -> bool:
    """Tell whether the file rather looks like a kernel, which no note of Linux's contradicts."""
    if elf.type != EXEC or elf.find(PT_INTERP) or any((n.name, n.type) == ABI_TAG for n in notes):
        return False
    start, end = KERNEL_PLACES[elf.arch]
    if start <= elf.loads[0].physical < end:
        return True
    return elf.arch == X86_64 and any(magic in file.head for magic in MULTIBOOT_MAGICS)
