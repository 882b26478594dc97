"""An image: an open file and what kind of guest it holds."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final

    from vmm.arch import Arch
    from vmm.boards.options import BoardOptions
    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile
    from vmm.images.symbols import Symbols

LINUX_PROGRAM: Final = "linux-program"
CALYPSO_KERNEL: Final = "calypso-kernel"
UNKNOWN: Final = "unknown"

# Kernels that others built; each has its module, whose subclass of `Image` can load it.
MULTIBOOT: Final = "multiboot-kernel"
MULTIBOOT2: Final = "multiboot2-kernel"
PVH: Final = "pvh-kernel"
LINUX_BOOT: Final = "linux-boot-kernel"
BZIMAGE: Final = "linux-bzimage"
LINUX_ARM64: Final = "linux-arm64-image"
FIXED_ELF: Final = "bare-metal-elf"
SOLO5_HVT: Final = "solo5-unikernel"
HERMIT: Final = "hermit-unikernel"


class Image:
    """A recognised file; a context manager that closes it.

    Attributes:
        file: the open file.
        path: as the user gave it.
        kind: one of this module's words.
        protocol: how it is started, in words; empty for `UNKNOWN`.
        arch: the guest's architecture, None where the kind does not fix one.
        elf: its headers, None for what is no 64-bit ELF file.
        board: what it expects of the board; None where any will do.
        complaint: for `UNKNOWN`, the one line to tell the user: what it is and what to do.
    """

    def __init__(
        self, file: ImageFile, kind: str, elf: Elf | None = None, complaint: str = ""
    ) -> None:
        self.file = file
        self.path = file.path
        self.kind = kind
        self.board: BoardOptions | None = None
        self.protocol = "" if kind == UNKNOWN else "calypso"
        self.arch: Arch | None = elf.arch if elf else None
        self.elf = elf
        self.complaint = complaint
        self._symbols: Symbols | None = None

    def symbolize(self, address: int) -> str | None:
        """Return ``"name+0x12"`` for an address in code or data, or None. Never raises.

        ``address`` is as linked: of a position-independent program, relative to its load address.
        The symbols are read on the first call, so the file must still be open then.
        """
        if self.elf is None:
            return None
        if self._symbols is None:
            from vmm.images.symbols import Symbols

            self._symbols = Symbols(self.elf)
        return self._symbols.symbolize(address)

    def describe(self) -> dict[str, object]:
        """Return what there is to say about the image; see `vmm.images.describe`."""
        from vmm.images.describe import describe

        return describe(self)

    def close(self) -> None:
        """Close the file; symbols read before stay usable."""
        self.file.close()

    def __enter__(self) -> Image:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
