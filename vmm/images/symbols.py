"""Names for addresses: the symbol table of an ELF file, for crash reports."""

from __future__ import annotations

import struct
from _bisect import bisect_right

from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.images.elf import Elf

SHT_SYMTAB: Final = 2
SHT_DYNSYM: Final = 11

_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")

# st_info type: NOTYPE (labels of assembly), OBJECT, FUNC, GNU_IFUNC.
_NAMED_TYPES: Final = frozenset({0, 1, 2, 10})

# st_shndx: undefined, absolute.
_NOWHERE: Final = frozenset({0, 0xFFF1})

# Bounds what a file can make a crash report read; debug builds of large programs stay below.
MAX_TABLE: Final = 16 << 20


class Symbols:
    """The symbols of one file, by address.

    A table that is missing or broken holds no symbols: a crash report must not fail.
    """

    def __init__(self, elf: Elf) -> None:
        self._addresses: list[int] = []
        self._symbols: list[tuple[int, int, int]] = []
        self._loads = [(segment.virtual, segment.end) for segment in elf.loads]
        self._strings = b""
        try:
            self._read(elf)
        except (UsageError, struct.error):
            self._addresses = []

    def symbolize(self, address: int) -> str | None:
        """Return ``"name+0x12"``, ``"name"`` at its very start, or None."""
        index = bisect_right(self._addresses, address) - 1
        if index < 0 or not any(start <= address < end for start, end in self._loads):
            return None
        start, size, name_offset = self._symbols[index]
        # Assembly labels often have no size: they hold until the next symbol.
        if size and address >= start + size:
            return None
        end = self._strings.find(0, name_offset)
        name = self._strings[name_offset:end].decode("utf-8", "backslashreplace")
        distance = address - start
        return f"{name}+{distance:#x}" if distance else name

    def _read(self, elf: Elf) -> None:
        if elf.section_size != _SECTION.size:
            return
        length = elf.section_count * _SECTION.size
        table = elf.file.read(elf.section_offset, length, "the section header table (e_shoff)")
        sections = list(_SECTION.iter_unpack(table))
        for wanted in (SHT_SYMTAB, SHT_DYNSYM):
            for section in sections:
                if section[1] == wanted and section[6] < len(sections):
                    self._read_table(elf, section, sections[section[6]])
                    return

    def _read_table(self, elf: Elf, table: tuple[int, ...], strings: tuple[int, ...]) -> None:
        if table[5] > MAX_TABLE or strings[5] > MAX_TABLE:
            return
        data = elf.file.read(table[4], table[5], "the symbol table")
        self._strings = elf.file.read(strings[4], strings[5], "the symbols' names")
        found = []
        for name, info, _, section, address, size in _SYMBOL.iter_unpack(data):
            # Absolute symbols are numbers; what they name is not a place.
            if (
                section not in _NOWHERE
                and name
                and info & 15 in _NAMED_TYPES
                and name < len(self._strings)
            ):
                # Of several names for one address, the sized and then the global one is best.
                found.append((address, size, info >> 4, name))
        found.sort()
        best = {address: (address, size, name) for address, size, _, name in found}
        self._addresses = list(best)
        self._symbols = list(best.values())
