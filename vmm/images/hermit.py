"""Hermit unikernels for x86_64 as uhyve starts them: ELF files with a note of their own.

The note "HERMIT" of type 0x5A00 holds the version of the boot interface (hermit-entry). Most are
position-independent and have relocations that the loader carries out.
"""

from __future__ import annotations

from struct import Struct

from vmm.arch import X86_64
from vmm.errors import UsageError
from vmm.images.elf import DYN, PT_DYNAMIC, PT_TLS
from vmm.images.foreign import ForeignKernel
from vmm.images.image import HERMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Registers
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile

NOTE_NAME: Final = "HERMIT"
NOTE_ENTRY_VERSION: Final = 0x5A00
ENTRY_VERSION: Final = 4

# Where a position-independent image goes.
BASE: Final = 0x40_0000

_DYNAMIC: Final = Struct("<QQ")
_DT_RELA: Final = 7
_DT_RELASZ: Final = 8
_RELA: Final = Struct("<QQq")
_R_X86_64_RELATIVE: Final = 8
# A relocation changes eight bytes, so that no image needs more.
_MAX_RELOCATIONS: Final = 1 << 20


class HermitUnikernel(ForeignKernel):
    """A Hermit unikernel.

    Attributes:
        base: what is added to the addresses in the file.
        tls: its thread-local storage, None if it has none.
    """

    KIND = HERMIT
    PROTOCOL = "uhyve 1"

    def __init__(self, file: ImageFile, elf: Elf, version: bytes) -> None:
        super().__init__(file, X86_64, elf)
        self._elf = elf
        if version != bytes([ENTRY_VERSION]):
            self.fail(f"its boot interface is {version.hex()}, and this VMM has {ENTRY_VERSION}")
        elf.check_entry()
        self.base = BASE if elf.type == DYN else 0
        self.tls = elf.find(PT_TLS)
        self.start = self.base + elf.loads[0].virtual
        self.end = self.base + elf.loads[-1].end

    def load(self, placement: Placement, request: BootRequest) -> Registers:
        """Load and relocate the unikernel; see `vmm.boot.hermit`."""
        from vmm.boot import hermit

        if request.initrd is not None or request.cpus > 1:
            self.fail("a Hermit unikernel takes no --initrd, and runs on one vCPU")
        for segment in self._elf.loads:
            gpa = self.base + segment.virtual
            placement.load(
                self.file,
                segment.offset,
                segment.file_size,
                gpa,
                f"segment with p_vaddr {segment.virtual:#x}",
                segment.memory_size,
            )
        for where, content in self._relocations():
            placement.memory.write_u64(self.base + where, content)
        return hermit.prepare(placement, request, self, self.base + self._elf.entry)

    def _relocations(self) -> list[tuple[int, int]]:
        """Return what is to be written where, by address in the file.

        Raises:
            UsageError: if there is a relocation of another kind than relative ones.
        """
        dynamic = self._elf.find(PT_DYNAMIC)
        if dynamic is None or self._elf.type != DYN:
            return []
        content = self.file.read(dynamic.offset, dynamic.file_size, "PT_DYNAMIC")
        whole = len(content) // _DYNAMIC.size * _DYNAMIC.size
        tags = dict(_DYNAMIC.iter_unpack(content[:whole]))
        size = tags.get(_DT_RELASZ, 0)
        if size % _RELA.size or size // _RELA.size > _MAX_RELOCATIONS:
            self.fail(f"DT_RELASZ {size} is not up to {_MAX_RELOCATIONS} relocations")
        if not size:
            return []
        table = self.file.read(self._offset(tags.get(_DT_RELA, 0), size), size, "DT_RELA")
        return [self._relocate(*fields) for fields in _RELA.iter_unpack(table)]

    def _relocate(self, where: int, info: int, addend: int) -> tuple[int, int]:
        if info & 0xFFFF_FFFF != _R_X86_64_RELATIVE:
            self.fail(f"a relocation of type {info & 0xFFFF_FFFF} at {where:#x}")
        if not any(s.virtual <= where and where + 8 <= s.end for s in self._elf.loads):
            self.fail(f"r_offset {where:#x} of a relocation is outside of the segments")
        return where, self.base + addend & 0xFFFF_FFFF_FFFF_FFFF

    def _offset(self, address: int, size: int) -> int:
        """Return where in the file ``size`` bytes at ``address`` are."""
        for segment in self._elf.loads:
            start = address - segment.virtual
            if 0 <= start and start + size <= segment.file_size:
                return start + segment.offset
        raise UsageError(f"{self.path}: DT_RELA {address:#x} is outside of the segments")


def recognise(file: ImageFile, elf: Elf | None) -> HermitUnikernel | None:
    """Return an image if ``file`` is a Hermit unikernel for x86_64.

    Raises:
        UsageError: if it is, but not one that can be started.
    """
    if elf is None or elf.arch != X86_64:
        return None
    for note in elf.notes():
        if note.name == NOTE_NAME and note.type == NOTE_ENTRY_VERSION:
            return HermitUnikernel(file, elf, note.description)
    return None
