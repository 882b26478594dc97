"""A copy of the engine's library that opens in a quarter of the time.

The library refers to itself through 30 000 names, and the dynamic linker looks up each one every
time the library is opened: longer than a guest's boot. All but a handful are the library's own,
at a fixed distance from where it is loaded. In the copy, relocations by such a name have become
relocations by that distance (``R_*_RELATIVE``), which is an addition each. Nothing else changes;
the copy's instructions, data, symbols and build id are the original's.
"""

from __future__ import annotations

from vmm.backends.unicorn.shared_object import (
    DT_RELA,
    DT_RELACOUNT,
    DT_RELASZ,
    RELA,
    SharedObject,
)
from vmm.host.cache import publish
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# By e_machine: R_*_RELATIVE, R_*_64 or ABS64, R_*_GLOB_DAT and R_*_JUMP_SLOT (whose addend is 0).
EM_X86_64: Final = 62
_EM_AARCH64: Final = 183


@value
class Kinds:
    """The numbers of relocations of one architecture.

    Attributes:
        relative: R_*_RELATIVE.
        absolute: R_X86_64_64, R_AARCH64_ABS64.
        global_data: R_*_GLOB_DAT, whose addend is 0.
        jump_slot: R_*_JUMP_SLOT, the same but that it may be done at the first call.
    """

    relative: int
    absolute: int
    global_data: int
    jump_slot: int


_KINDS: Final = {EM_X86_64: Kinds(8, 1, 6, 7), _EM_AARCH64: Kinds(1027, 257, 1025, 1026)}

# Symbols at a fixed distance: STT_NOTYPE, STT_OBJECT, STT_FUNC in a section of the library.
_FIXED: Final = frozenset((0, 1, 2))
# st_shndx of a section: between SHN_UNDEF and SHN_LORESERVE.
DEFINED: Final = range(1, 0xFF00)


def make_bound_copy(path: str, copy: str) -> bool:
    """Let ``copy`` be the bound copy of the library file ``path``; tell whether it is."""
    try:
        with open(path, "rb") as file:
            image = bytearray(file.read())
        bind(image)
    except (OSError, ValueError):
        return False
    return publish(copy, image)


def bind(image: bytearray) -> None:
    """Bind the library whose file is ``image`` to itself, in place.

    Raises:
        ValueError: if it is no library, or one of an architecture that is not known here.
    """
    library = SharedObject(image)
    relative = kinds(library).relative
    own, others = split_relocations(library, DT_RELA, DT_RELASZ)
    # The first DT_RELACOUNT entries are relative: the linker does these in one go.
    bound = [(offset, relative, address) for offset, address in sorted(own)]
    start = library.table(DT_RELA)
    table = b"".join([RELA.pack(*entry) for entry in bound + others])
    image[start : start + len(table)] = table
    library.set_dynamic(DT_RELACOUNT, len(bound))


def kinds(library: SharedObject) -> Kinds:
    """Return the numbers of relocations of the library's architecture.

    Raises:
        ValueError: if it is not known here.
    """
    if library.machine not in _KINDS:
        raise ValueError(f"e_machine {library.machine} is not known")
    return _KINDS[library.machine]


def split_relocations(
    library: SharedObject, table: int, size: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
    """Return what a table of relocations refers to: the library itself, and the rest.

    Args:
        library: the library.
        table: the tag of the table.
        size: the tag of its size.

    Returns:
        (r_offset, address in the library) of each relocation that yields such an address, and
        (r_offset, r_info, r_addend) of the others.
    """
    known = kinds(library)
    by_name = (known.absolute, known.global_data, known.jump_slot)
    own = []
    others = []
    for offset, info, addend in library.relocations(table, size):
        kind = info & 0xFFFF_FFFF
        if kind == known.relative:
            own.append((offset, addend))
            continue
        if kind in by_name:
            _, symbol, section, address = library.symbol(info >> 32)
            if symbol & 15 in _FIXED and section in DEFINED:
                own.append((offset, address + addend))
                continue
        others.append((offset, info, addend))
    return own, others
