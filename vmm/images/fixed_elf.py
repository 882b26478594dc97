"""arm64 ELF kernels linked to RAM of QEMU's "virt" machine: what `qemu -M virt -kernel ELF` runs.

The kernel begins at its entry with the MMU off and the device tree at the start of RAM.
"""

from __future__ import annotations

from vmm.arch import ARM64
from vmm.boards.options import VIRT, BoardOptions
from vmm.images.elf import EXEC
from vmm.images.foreign import ForeignKernel
from vmm.images.image import FIXED_ELF
from vmm.images.linux_program import KERNEL_PLACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.backends.api import Registers
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile


class FixedElf(ForeignKernel):
    """An ELF kernel at a fixed place in RAM.

    The board is QEMU's by default: with a GICv2, which is all that small kernels drive.
    """

    KIND = FIXED_ELF
    PROTOCOL = "bare-metal ELF"

    BOARD = BoardOptions(VIRT, 2)

    def __init__(self, file: ImageFile, elf: Elf) -> None:
        super().__init__(file, ARM64, elf)
        self._elf = elf
        elf.check_entry()

    def load(self, placement: Placement, request: BootRequest) -> Registers:
        """Load the kernel, with the device tree at the start of RAM unless the kernel is there."""
        from vmm.boot import arm64_start

        placement.load_segments(self.file, self._elf.loads)
        start = placement.memory.regions[0].base
        lowest = min(segment.physical for segment in self._elf.loads)
        at_start = lowest - start >= arm64_start.DEVICE_TREE_ROOM
        tree = arm64_start.put_device_tree(placement, request, start if at_start else None)
        entry = self._elf.entry
        for segment in self._elf.loads:
            if segment.virtual <= entry < segment.end:
                return arm64_start.enter(entry - segment.virtual + segment.physical, tree)
        raise AssertionError("checked when the image was made")


def recognise(file: ImageFile, elf: Elf | None) -> FixedElf | None:
    """Return an image if ``file`` is an arm64 ELF kernel linked to where RAM is.

    Raises:
        UsageError: if it is, but its entry is outside its code.
    """
    if elf is None or elf.arch != ARM64 or elf.type != EXEC:
        return None
    start, end = KERNEL_PLACES[ARM64]
    return FixedElf(file, elf) if start <= elf.loads[0].physical < end else None
