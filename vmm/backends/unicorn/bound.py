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
    DYN,
    RELA,
    SharedObject,
)
from vmm.host.cache import publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# By e_machine: R_*_RELATIVE, R_*_64 or ABS64, R_*_GLOB_DAT (whose addend is 0).
_EM_X86_64: Final = 62
_EM_AARCH64: Final = 183
_RELATIVE: Final = {_EM_X86_64: 8, _EM_AARCH64: 1027}
_ABSOLUTE: Final = {_EM_X86_64: 1, _EM_AARCH64: 257}
_GLOBAL_DATA: Final = {_EM_X86_64: 6, _EM_AARCH64: 1025}

# Symbols at a fixed distance: STT_NOTYPE, STT_OBJECT, STT_FUNC in a section of the library.
_FIXED: Final = frozenset((0, 1, 2))
_SHN_UNDEF: Final = 0
_SHN_LORESERVE: Final = 0xFF00


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
    machine = library.machine
    if machine not in _RELATIVE:
        raise ValueError(f"e_machine {machine} is not known")
    relative, absolute, global_data = (
        kinds[machine] for kinds in (_RELATIVE, _ABSOLUTE, _GLOBAL_DATA)
    )
    bound = []
    others = []
    for offset, info, addend in library.relocations(DT_RELA, DT_RELASZ):
        kind = info & 0xFFFF_FFFF
        if kind == relative:
            bound.append((offset, relative, addend))
            continue
        if kind in (absolute, global_data):
            _, symbol, section, address = library.symbol(info >> 32)
            if symbol & 15 in _FIXED and _SHN_UNDEF < section < _SHN_LORESERVE:
                bound.append((offset, relative, address + addend))
                continue
        others.append((offset, info, addend))
    # The first DT_RELACOUNT entries are relative: the linker does these in one go.
    bound.sort()
    start = library.table(DT_RELA)
    table = b"".join([RELA.pack(*entry) for entry in bound + others])
    image[start : start + len(table)] = table
    if DT_RELACOUNT in library.dynamic_at:
        DYN.pack_into(image, library.dynamic_at[DT_RELACOUNT], DT_RELACOUNT, len(bound))
