"""What kind of guest is in a file? One module per kind answers for itself."""

from __future__ import annotations

from vmm.images import calypso_kernel, linux_program
from vmm.images.elf import CLASS_32, MAGIC, Elf
from vmm.images.file import ImageFile
from vmm.images.image import UNKNOWN, Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    Recogniser = Callable[[ImageFile, Elf | None], Image | None]

# Asked in this order; the first that returns an image has claimed the file. A kind that looks like
# a more general one comes before it.
RECOGNISERS: Final[tuple[Recogniser, ...]] = (
    calypso_kernel.recognise,
    linux_program.recognise,
)


def open_image(path: str) -> Image:
    """Open the file at ``path`` and find out what it is.

    A file that nothing here can boot gives an image of kind ``unknown`` with a complaint to show.

    Raises:
        UsageError: if it cannot be read, or is malformed.
    """
    return recognise(ImageFile(path))


def recognise(file: ImageFile) -> Image:
    """Find out what an open file is, as `open_image` does; it belongs to the image from now on.

    Raises:
        UsageError: if it is malformed.
    """
    try:
        elf = _read_elf(file)
        for recogniser in RECOGNISERS:
            image = recogniser(file, elf)
            if image is not None:
                return image
        from vmm.images import foreign

        image = foreign.recognise(file, elf)
        if image is not None:
            return image
        from vmm.images.unknown import explain

        return Image(file, UNKNOWN, elf, explain(file, elf))
    except BaseException:
        file.close()
        raise


def recognise_unpacked(file: ImageFile) -> Image | None:
    """Return an image if ``file``, which came out of a compressed one, is a kernel of others.

    Raises:
        UsageError: if it is one, but malformed.
    """
    from vmm.images import foreign

    return foreign.recognise(file, _read_elf(file), unpacked=True)


def _read_elf(file: ImageFile) -> Elf | None:
    """Return the headers of a 64-bit ELF file; None for anything else."""
    head = file.head
    if not head.startswith(MAGIC) or head[4:5] == bytes([CLASS_32]):
        return None
    return Elf(file)
