"""Kernels that others built: what all their modules share, and which of them claims a file.

Imported only for files that are neither a program nor our kernel.
"""

from __future__ import annotations

from vmm.errors import UsageError
from vmm.images.elf import CLASS_32, MAGIC
from vmm.images.image import Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, NoReturn

    from vmm.arch import Arch
    from vmm.backends.api import Registers
    from vmm.boards.options import BoardOptions
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile


class ForeignKernel(Image):
    """A kernel that another project built, with the boot protocol it expects.

    Attributes:
        linux: it is Linux, which is given a serial console unless the command line names one.
    """

    KIND: ClassVar[str]
    PROTOCOL: ClassVar[str]
    BOARD: ClassVar[BoardOptions | None] = None
    linux = False

    def __init__(self, file: ImageFile, arch: Arch, elf: Elf | None = None) -> None:
        super().__init__(file, self.KIND, elf)
        self.arch = arch
        self.board = self.BOARD
        self.protocol = self.PROTOCOL

    def load(self, placement: Placement, request: BootRequest) -> Registers:
        """Put the kernel and what its protocol tells it into RAM; return how vCPU 0 starts.

        Raises:
            UsageError: if it does not fit, or the file is malformed.
        """
        raise NotImplementedError

    def facts(self) -> dict[str, object]:
        """Return what there is to say about this image alone."""
        return {}

    def fail(self, problem: str) -> NoReturn:
        """Raise a `UsageError` about the file."""
        raise UsageError(f"{self.path}: {problem}")


def recognise(file: ImageFile, elf: Elf | None, *, unpacked: bool = False) -> Image | None:
    """Return an image if ``file`` is a kernel of a kind known here.

    What has been ``unpacked`` is not unpacked again: a file can hold itself.

    Raises:
        UsageError: if it is one, but malformed.
    """
    if elf is not None or _is_elf32(file):
        from vmm.images import fixed_elf, hermit, linux_elf, multiboot, multiboot2, pvh, solo5

        modules = (solo5, hermit, multiboot, multiboot2, pvh, linux_elf, fixed_elf)
        return _first([module.recognise for module in modules], file, elf)
    from vmm.images import bzimage, compressed, linux_arm64, multiboot, multiboot2

    if not unpacked and compressed.is_packed(file):
        # What multiboot looks for may be in the compressed bytes as well.
        return compressed.recognise(file)
    flat = (linux_arm64, bzimage, multiboot, multiboot2)
    return _first([module.recognise for module in flat], file, elf)


def _first(
    recognisers: list[Callable[[ImageFile, Elf | None], Image | None]],
    file: ImageFile,
    elf: Elf | None,
) -> Image | None:
    for recogniser in recognisers:
        image = recogniser(file, elf)
        if image is not None:
            return image
    return None


def _is_elf32(file: ImageFile) -> bool:
    return file.head.startswith(MAGIC) and file.head[4:5] == bytes([CLASS_32])
