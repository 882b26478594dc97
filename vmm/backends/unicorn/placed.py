"""A copy of the engine's library that is complete in its file, for one address.

The dynamic linker adds the address at which a library is loaded to each of 80 000 words. That
touches nearly all pages of its data, each of which the kernel has to copy first and to free in the
end. This copy names an address of its own, and its words are what they have to be there. The linker
asks the kernel to load it there; then it has nothing to add (its l_addr is 0), and the pages stay
those of the file, which all processes share.

The kernel may have something else at that address, and before version 2.36 glibc does not always
ask for it. Opened elsewhere, the copy is to be closed again at once. That is safe: the linker runs
nothing of it but the compiler's own initialisation, which refers to no word of the data but the
addresses of its functions, and these the linker still relocates.

The address is chosen at random when the copy is made, by each user and host anew, but it is the
same in all processes that use that copy: their layout is not random there any more. An attacker who
has read it once knows where the engine's code is from then on, and within 1 GiB of it the code that
it translates (see `near`).

It is for x86_64 alone: the calls of an arm64 host reach 128 MiB, too little for the buffers of more
than a few engines.
"""

from __future__ import annotations

import os

from vmm.backends.unicorn.bound import DEFINED, EM_X86_64, kinds, split_relocations
from vmm.backends.unicorn.near import map_code_near
from vmm.backends.unicorn.shared_object import (
    DT_FINI,
    DT_FINI_ARRAY,
    DT_FINI_ARRAYSZ,
    DT_GNU_HASH,
    DT_INIT,
    DT_INIT_ARRAY,
    DT_INIT_ARRAYSZ,
    DT_JMPREL,
    DT_NEEDED,
    DT_NULL,
    DT_PLTGOT,
    DT_PLTREL,
    DT_PLTRELSZ,
    DT_RELA,
    DT_RELACOUNT,
    DT_RELAENT,
    DT_RELASZ,
    DT_SONAME,
    DT_STRSZ,
    DT_STRTAB,
    DT_SYMENT,
    DT_SYMTAB,
    DT_VERNEED,
    DT_VERNEEDNUM,
    DT_VERSYM,
    RELA,
    WORD,
    SharedObject,
)
from vmm.host.cache import publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Where nothing is by custom, within the 47 bits of the address space; aligned as the kernel aligns
# large files, so that it can map whole pages of 2 MiB where its cache has such.
_LOWEST: Final = 16 << 40
_HIGHEST: Final = 80 << 40
_ALIGNMENT: Final = 2 << 20

_POINTERS: Final = (
    DT_PLTGOT,
    DT_STRTAB,
    DT_SYMTAB,
    DT_RELA,
    DT_INIT,
    DT_FINI,
    DT_JMPREL,
    DT_INIT_ARRAY,
    DT_FINI_ARRAY,
    DT_GNU_HASH,
    DT_VERSYM,
    DT_VERNEED,
)
_VALUES: Final = (
    DT_NULL,
    DT_NEEDED,
    DT_PLTRELSZ,
    DT_RELASZ,
    DT_RELAENT,
    DT_STRSZ,
    DT_SYMENT,
    DT_SONAME,
    DT_PLTREL,
    DT_INIT_ARRAYSZ,
    DT_FINI_ARRAYSZ,
    DT_RELACOUNT,
    DT_VERNEEDNUM,
)

_STT_TLS: Final = 6
# A relocation without a name that does not depend on where the library is.
_R_X86_64_DTPMOD64: Final = 16


def make_placed_copy(path: str, copy: str) -> bool:
    """Let ``copy`` be a placed copy of the library file ``path``; tell whether it is."""
    try:
        with open(path, "rb") as file:
            image = bytearray(file.read())
        place(image)
    except (OSError, ValueError):
        return False
    return publish(copy, image)


def place(image: bytearray) -> None:
    """Give the library whose file is ``image`` an address, and complete it for that, in place.

    Raises:
        ValueError: if it is no library, or has something whose meaning is not known here.
    """
    library = SharedObject(image)
    if library.machine != EM_X86_64:
        raise ValueError(f"e_machine {library.machine} is not that of x86_64")
    unknown = set(library.dynamic) - {*_POINTERS, *_VALUES}
    if unknown:
        raise ValueError(f"the meaning of {[hex(tag) for tag in unknown]} is not known")
    map_code_near(library, image)
    address = _choose_address()
    _relocate(library, image, address)
    for index in library.hashed_symbols():
        _, kind, section, start = library.symbol(index)
        if kind & 15 != _STT_TLS and section in DEFINED:
            library.set_symbol_value(index, start + address)
    for tag in _POINTERS:
        if tag in library.dynamic:
            library.set_dynamic(tag, library.dynamic[tag] + address)
    library.move_headers(address)


def _choose_address() -> int:
    choices = (_HIGHEST - _LOWEST) // _ALIGNMENT
    return _LOWEST + int.from_bytes(os.urandom(8)) % choices * _ALIGNMENT


def _relocate(library: SharedObject, image: bytearray, address: int) -> None:
    """Do the relocations that depend on ``address`` alone, and make one table of the others.

    Those that the linker may leave until a function is first called have to be in a table where the
    code expects them. Only 80 are left, and the linker does them with the rest.
    """
    known = kinds(library)
    early = _initialisation(library)
    kept = []
    named = []
    for table, size in ((DT_RELA, DT_RELASZ), (DT_JMPREL, DT_PLTRELSZ)):
        own, others = split_relocations(library, table, size)
        for offset, target in own:
            if offset in early:
                kept.append((offset + address, known.relative, target + address))
            else:
                WORD.pack_into(image, library.offset(offset), target + address)
        for offset, info, addend in others:
            symbol, kind = info >> 32, info & 0xFFFF_FFFF
            if symbol == 0 and kind != _R_X86_64_DTPMOD64:
                raise ValueError(f"the meaning of relocation {kind} is not known")
            if kind == known.jump_slot:
                kind = known.global_data
            named.append((offset + address, symbol << 32 | kind, addend))
    content = b"".join([RELA.pack(*entry) for entry in kept + named])
    start = library.table(DT_RELA)
    image[start : start + len(content)] = content
    library.set_dynamic(DT_RELASZ, len(content))
    library.set_dynamic(DT_RELACOUNT, len(kept))
    library.set_dynamic(DT_PLTRELSZ, 0)


def _initialisation(library: SharedObject) -> set[int]:
    """Return the addresses of the words that name functions to call on opening and closing."""
    words: set[int] = set()
    for table, size in ((DT_INIT_ARRAY, DT_INIT_ARRAYSZ), (DT_FINI_ARRAY, DT_FINI_ARRAYSZ)):
        start = library.dynamic.get(table, 0)
        words.update(range(start, start + library.dynamic.get(size, 0), WORD.size))
    return words
