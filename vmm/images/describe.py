"""Everything worth knowing about an image, as plain data: what `vmm inspect` shows."""

from __future__ import annotations

from vmm.boards.arm64_map import FIRECRACKER_RAM, RAM
from vmm.boards.options import FIRECRACKER, SOLO5, VIRT
from vmm.boot.layout import round_up
from vmm.boot.memory_map import MEMORY_MAPS
from vmm.images.bundled import kernel_path
from vmm.images.elf import DYN, PF_R, PF_W, PF_X, PT_LOAD, PT_TLS
from vmm.images.foreign import ForeignKernel
from vmm.images.image import CALYPSO_KERNEL, UNKNOWN
from vmm.images.recognise import open_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.images.elf import Elf, Note, Segment
    from vmm.images.image import Image

# Names of the segment types that compilers of today produce (gABI and the GNU extensions).
_SEGMENT_TYPES: Final = {
    0: "NULL",
    1: "LOAD",
    2: "DYNAMIC",
    3: "INTERP",
    4: "NOTE",
    6: "PHDR",
    7: "TLS",
    0x6474E550: "GNU_EH_FRAME",
    0x6474E551: "GNU_STACK",
    0x6474E552: "GNU_RELRO",
    0x6474E553: "GNU_PROPERTY",
}

# Where RAM starts, by the board's model; on PCs at 0.
RAM_STARTS: Final = {VIRT: RAM, FIRECRACKER: FIRECRACKER_RAM, SOLO5: 0}

# A build id takes 20 bytes; longer descriptions are cut.
_SHOWN_BYTES: Final = 32


def describe(image: Image) -> dict[str, object]:
    """Return the facts, with values that JSON can hold; absent ones are None.

    ``memory_minimum`` is in bytes: the RAM below which the image is refused. What the guest needs
    beyond that to run is its own affair.

    Raises:
        UsageError: if a part of the file that recognising it did not need is malformed.
    """
    facts: dict[str, object] = {
        "path": image.path,
        "kind": image.kind,
        "architecture": image.arch,
        "boot_protocol": image.protocol or None,
        "size": image.file.size,
    }
    if image.complaint:
        facts["complaint"] = image.complaint
    if image.elf is not None:
        facts.update(_describe_elf(image.elf))
    if isinstance(image, ForeignKernel):
        facts.update(_describe_foreign(image))
    elif image.elf is not None and image.kind != UNKNOWN:
        facts["memory_minimum"] = _memory_minimum(image, image.elf)
        facts["needs"] = _needs(image, image.elf)
    return facts


def _describe_foreign(image: ForeignKernel) -> dict[str, object]:
    facts = image.facts()
    if image.elf is not None:
        end = max(segment.physical + segment.memory_size for segment in image.elf.loads)
        start = 0 if image.board is None else RAM_STARTS[image.board.model]
        facts["memory_minimum"] = round_up(end - start)
    if image.board is not None:
        facts["board"] = str(image.board)
    return facts


def _describe_elf(elf: Elf) -> dict[str, object]:
    tls = elf.find(PT_TLS)
    return {
        "linking": _linking(elf),
        "entry": elf.entry,
        "interpreter": elf.interpreter(),
        "tls_size": tls.memory_size if tls else None,
        "segments": [_describe_segment(segment) for segment in elf.segments],
        "notes": [_describe_note(note) for note in elf.notes()],
    }


def _linking(elf: Elf) -> str:
    if elf.interpreter() is not None:
        return "dynamic"
    return "static-pie" if elf.type == DYN else "static"


def _describe_segment(segment: Segment) -> dict[str, object]:
    facts: dict[str, object] = {
        "type": _SEGMENT_TYPES.get(segment.type, f"{segment.type:#x}"),
        "rights": "".join(
            letter if segment.flags & bit else "-"
            for bit, letter in ((PF_R, "R"), (PF_W, "W"), (PF_X, "X"))
        ),
        "virtual": segment.virtual,
        "offset": segment.offset,
        "file_size": segment.file_size,
        "memory_size": segment.memory_size,
        "alignment": segment.alignment,
    }
    if segment.type == PT_LOAD and segment.physical != segment.virtual:
        facts["physical"] = segment.physical
    return facts


def _describe_note(note: Note) -> dict[str, object]:
    shown = note.description[:_SHOWN_BYTES].hex()
    rest = "…" if len(note.description) > _SHOWN_BYTES else ""
    return {"name": note.name, "type": note.type, "description": shown + rest}


def _memory_minimum(image: Image, elf: Elf) -> int:
    if image.kind == CALYPSO_KERNEL:
        return _kernel_end(elf)
    with open_image(kernel_path(elf.arch)) as kernel:
        end = _kernel_end(kernel.elf) if kernel.elf else 0
    return end + round_up(image.file.size)


def _kernel_end(elf: Elf) -> int:
    """Return how far into RAM a kernel reaches."""
    last = elf.loads[-1]
    return round_up(last.physical + last.memory_size - MEMORY_MAPS[elf.arch].ram)


def _needs(image: Image, elf: Elf) -> list[str]:
    if image.kind == CALYPSO_KERNEL:
        return ["a program to run"]
    interpreter = elf.interpreter()
    if interpreter is None:
        return []
    return [f"{interpreter} and its libraries, in a cpio archive given by --initrd"]
