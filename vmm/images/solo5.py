"""Solo5 unikernels of the target hvt, among them MirageOS's: ELF files with notes of their own."""

from __future__ import annotations

from vmm.boards.options import SOLO5, BoardOptions
from vmm.errors import UsageError
from vmm.images import solo5_notes as notes
from vmm.images.elf import EXEC, PF_W, PF_X
from vmm.images.foreign import ForeignKernel
from vmm.images.image import SOLO5_HVT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Registers
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile

# Below are the page tables and what the VMM tells the unikernel (HVT_GUEST_MIN_BASE).
MIN_BASE: Final = 0x10_0000
_PAGE: Final = 0x1000


class Solo5Unikernel(ForeignKernel):
    """A unikernel for Solo5's hvt.

    Attributes:
        abi: what it was built for.
        devices: what its manifest asks for, by handle.
    """

    KIND = SOLO5_HVT
    PROTOCOL = "Solo5 hvt"
    BOARD = BoardOptions(SOLO5)

    def __init__(self, file: ImageFile, elf: Elf, abi: notes.Abi, manifest: bytes | None) -> None:
        super().__init__(file, elf.arch, elf)
        self._elf = elf
        self.abi = abi
        if abi.target != notes.HVT:
            name = notes.TARGETS.get(abi.target, abi.target)
            self.fail(f"a Solo5 unikernel for the target {name}: build it for hvt")
        if abi.version != notes.HVT_VERSION:
            self.fail(f"its ABI is hvt {abi.version}, and this VMM has hvt {notes.HVT_VERSION}")
        if manifest is None:
            self.fail("a Solo5 unikernel without the note MFT1, its manifest")
        try:
            self.devices = notes.parse_manifest(manifest)
        except UsageError as error:
            self.fail(str(error))
        self._check_segments()

    def facts(self) -> dict[str, object]:
        """Return the ABI and the manifest."""
        asked = [device for device in self.devices if device is not None]
        return {
            "abi": f"hvt {self.abi.version}",
            "manifest": [{"name": d.name, "type": notes.TYPES[d.type]} for d in asked],
        }

    def load(self, placement: Placement, request: BootRequest) -> Registers:
        """Load the unikernel; see `vmm.boot.solo5`."""
        from vmm.boot import solo5

        if request.cpus > 1:
            self.fail("a Solo5 unikernel runs on one vCPU")
        if request.initrd is not None:
            self.fail("a Solo5 unikernel takes no --initrd")
        placement.load_segments(self.file, self._elf.loads)
        return solo5.prepare(placement, request, self._elf, self.devices)

    def _check_segments(self) -> None:
        if self._elf.type != EXEC:
            self.fail(f"e_type is {self._elf.type}: a unikernel is linked to a fixed place")
        self._elf.check_entry()
        for segment in self._elf.loads:
            place = f"p_vaddr {segment.virtual:#x}"
            if segment.virtual < MIN_BASE:
                self.fail(f"{place} is below {MIN_BASE:#x}, where the VMM's own structures are")
            if segment.virtual % _PAGE or segment.physical != segment.virtual:
                self.fail(f"{place}: it is not where p_paddr is, at the start of a page")
            if segment.flags & PF_W and segment.flags & PF_X:
                self.fail(f"{place}: p_flags allow both writing and execution")


def recognise(file: ImageFile, elf: Elf | None) -> Solo5Unikernel | None:
    """Return an image if ``file`` has the note of Solo5's ABI.

    Raises:
        UsageError: if it has one, but for something else than this VMM's hvt, or is malformed.
    """
    if elf is None:
        return None
    found = elf.notes()
    description = notes.find_note(found, notes.ABI_NOTE)
    if description is None:
        return None
    try:
        abi = notes.parse_abi(description)
    except UsageError as error:
        raise UsageError(f"{file.path}: {error}") from None
    return Solo5Unikernel(file, elf, abi, notes.find_note(found, notes.MANIFEST_NOTE))
