"""The dynamic section and relocations of a 64-bit little-endian ELF shared library.

Names and layouts: System V gABI, chapter 5, and <elf.h>.
"""

from __future__ import annotations

from struct import Struct, error, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator
    from typing import Final

PT_LOAD: Final = 1
PT_DYNAMIC: Final = 2
PT_GNU_STACK: Final = 0x6474_E551

DT_NULL: Final = 0
DT_NEEDED: Final = 1
DT_PLTRELSZ: Final = 2
DT_PLTGOT: Final = 3
DT_STRTAB: Final = 5
DT_SYMTAB: Final = 6
DT_RELA: Final = 7
DT_RELASZ: Final = 8
DT_RELAENT: Final = 9
DT_STRSZ: Final = 10
DT_SYMENT: Final = 11
DT_INIT: Final = 12
DT_FINI: Final = 13
DT_SONAME: Final = 14
DT_PLTREL: Final = 20
DT_JMPREL: Final = 23
DT_INIT_ARRAY: Final = 25
DT_FINI_ARRAY: Final = 26
DT_INIT_ARRAYSZ: Final = 27
DT_FINI_ARRAYSZ: Final = 28
DT_GNU_HASH: Final = 0x6FFF_FEF5
DT_TLSDESC_PLT: Final = 0x6FFF_FEF6
DT_TLSDESC_GOT: Final = 0x6FFF_FEF7
DT_VERSYM: Final = 0x6FFF_FFF0
DT_RELACOUNT: Final = 0x6FFF_FFF9
DT_VERNEED: Final = 0x6FFF_FFFE
DT_VERNEEDNUM: Final = 0x6FFF_FFFF

RELA: Final = Struct("<QQq")  # r_offset, r_info, r_addend
DYN: Final = Struct("<QQ")  # d_tag, d_val or d_ptr
WORD: Final = Struct("<Q")

_EHDR: Final = Struct("<16x2xH12xQ14xHH")  # e_machine, e_phoff, e_phentsize, e_phnum
# p_type, p_offset, p_vaddr, p_paddr, p_filesz, p_align
_PHDR: Final = Struct("<I4xQQQQ8xQ")
_P_VADDR: Final = 16
_P_PADDR: Final = 24
_SYM: Final = Struct("<IBxHQ8x")  # st_name, st_info, st_shndx, st_value
_ST_VALUE: Final = 8
_GNU_HASH: Final = Struct("<IIII")  # nbuckets, symoffset, bloom_size, bloom_shift


class SharedObject:
    """A library's file, to be read and, if ``image`` may be written, to be changed.

    Attributes:
        machine: e_machine.
        dynamic: the dynamic section, by tag.
        dynamic_at: where each tag's entry is in the file.
        page_size: the largest that it can be loaded with.
    """

    def __init__(self, image: mmap.mmap | bytearray) -> None:
        """Read the headers of ``image``.

        Raises:
            ValueError: if it is not a 64-bit ELF shared library.
        """
        if image[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        self._image = image
        try:
            self._read_headers()
        except (error, IndexError, StopIteration):
            raise ValueError("not a shared library") from None

    def _read_headers(self) -> None:
        image = self._image
        self.machine, start, size, count = _EHDR.unpack_from(image, 0)
        self._headers_at = [start + size * index for index in range(count)]
        headers = [_PHDR.unpack_from(image, where) for where in self._headers_at]
        loads = [header[1:] for header in headers if header[0] == PT_LOAD]
        self._loads = [(offset, address, length) for offset, address, _, length, _ in loads]
        self.page_size = max([load[-1] for load in loads])
        at, _, _, length, _ = next(header[1:] for header in headers if header[0] == PT_DYNAMIC)
        self._tables: dict[int, int] = {}
        self.dynamic: dict[int, int] = {}
        self.dynamic_at: dict[int, int] = {}
        for where in range(at, at + length, DYN.size):
            tag, content = DYN.unpack_from(image, where)
            self.dynamic[tag] = content
            self.dynamic_at[tag] = where

    def offset(self, address: int) -> int:
        """Return where in the file the byte for ``address`` is.

        Raises:
            ValueError: if it is not in the file.
        """
        for offset, start, length in self._loads:
            if start <= address < start + length:
                return int(offset + address - start)
        raise ValueError(f"address {address:#x} is not in the file")

    def table(self, tag: int) -> int:
        """Return where in the file the table that the dynamic section's ``tag`` names starts.

        Raises:
            ValueError: if the library has no such table.
        """
        if tag not in self._tables:
            if tag not in self.dynamic:
                raise ValueError(f"the library has no table {tag:#x}")
            self._tables[tag] = self.offset(self.dynamic[tag])
        return self._tables[tag]

    def relocations(self, table: int, size: int) -> Iterator[tuple[int, int, int]]:
        """Iterate over (r_offset, r_info, r_addend) of the table that tag ``table`` names."""
        start = self.table(table)
        return RELA.iter_unpack(self._image[start : start + self.dynamic[size]])

    def symbol(self, index: int) -> tuple[int, int, int, int]:
        """Return (st_name, st_info, st_shndx, st_value) of an entry of the symbol table."""
        return _SYM.unpack_from(self._image, self.table(DT_SYMTAB) + index * _SYM.size)

    def hashed_symbols(self) -> range:
        """Return the indices of the symbols that the library defines for others.

        Raises:
            ValueError: if the library has no hash table.
        """
        at = self.table(DT_GNU_HASH)
        count, first, bloom_words, _ = _GNU_HASH.unpack_from(self._image, at)
        buckets = at + _GNU_HASH.size + bloom_words * WORD.size
        chains = buckets + 4 * count
        # A bucket tells where its chain starts; the last link of a chain has bit 0 set.
        last = max(unpack_from(f"<{count}I", self._image, buckets))
        while last >= first and not self._image[chains + 4 * (last - first)] & 1:
            last += 1
        return range(first, last + 1)

    def move_headers(self, distance: int) -> None:
        """Add ``distance`` to each address of the program headers, in the file."""
        for at in self._headers_at:
            kind, _, virtual, physical, *_ = _PHDR.unpack_from(self._image, at)
            if kind != PT_GNU_STACK:
                WORD.pack_into(self._image, at + _P_VADDR, virtual + distance)
                WORD.pack_into(self._image, at + _P_PADDR, physical + distance)

    def move_symbol(self, index: int, distance: int) -> None:
        """Add ``distance`` to the value of an entry of the symbol table, in the file."""
        at = self.table(DT_SYMTAB) + index * _SYM.size + _ST_VALUE
        WORD.pack_into(self._image, at, self.symbol(index)[3] + distance)

    def set_dynamic(self, tag: int, content: int) -> None:
        """Store the dynamic section's entry for ``tag``, where it has one, in the file."""
        if tag in self.dynamic_at:
            DYN.pack_into(self._image, self.dynamic_at[tag], tag, content)

    def name(self, index: int) -> str:
        """Return the name of an entry of the symbol table."""
        start = self.table(DT_STRTAB) + self.symbol(index)[0]
        return self._image[start : self._image.find(b"\0", start)].decode()
