"""The dynamic section and relocations of a 64-bit little-endian ELF shared library.

Names and layouts: System V gABI, chapter 5, and <elf.h>.
"""

from __future__ import annotations

from struct import Struct, error, unpack_from

from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator
    from typing import Final

PT_LOAD: Final = 1
PT_DYNAMIC: Final = 2
PT_GNU_STACK: Final = 0x6474_E551

PF_X: Final = 1

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
DT_VERSYM: Final = 0x6FFF_FFF0
DT_RELACOUNT: Final = 0x6FFF_FFF9
DT_VERNEED: Final = 0x6FFF_FFFE
DT_VERNEEDNUM: Final = 0x6FFF_FFFF

RELA: Final = Struct("<QQq")  # r_offset, r_info, r_addend
DYN: Final = Struct("<QQ")  # d_tag, d_val or d_ptr
WORD: Final = Struct("<Q")

_EHDR: Final = Struct("<16x2xH12xQ14xHH")  # e_machine, e_phoff, e_phentsize, e_phnum
_PHDR: Final = Struct("<IIQQQQQQ")  # see `_ProgramHeader`
_P_VADDR: Final = 16
_P_PADDR: Final = 24
_P_FILESZ: Final = 32
_P_MEMSZ: Final = 40
_SYM: Final = Struct("<IBxHQ8x")  # st_name, st_info, st_shndx, st_value
_ST_VALUE: Final = 8
_GNU_HASH: Final = Struct("<IIII")  # nbuckets, symoffset, bloom_size, bloom_shift


# The least size of a page.
_PAGE: Final = 4096


@value
class _ProgramHeader:
    """Where in the file an entry of the program header table is, and what it says."""

    at: int
    p_type: int
    p_flags: int
    p_offset: int
    p_vaddr: int
    p_paddr: int
    p_filesz: int
    p_memsz: int
    p_align: int


class SharedObject:
    """A library's file, to be read and, if ``image`` may be written, to be changed.

    Attributes:
        machine: e_machine.
        dynamic: the dynamic section, by tag.
        dynamic_at: where each tag's entry is in the file.
        end: the address behind its last byte in memory.
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
        self._headers = [
            _ProgramHeader(at, *_PHDR.unpack_from(image, at))
            for at in range(start, start + size * count, size)
        ]
        self._loads = [header for header in self._headers if header.p_type == PT_LOAD]
        # (first address, end, distance to its place in the file), most of what is asked for first
        self._parts = [
            (load.p_vaddr, load.p_vaddr + load.p_filesz, load.p_vaddr - load.p_offset)
            for load in reversed(self._loads)
        ]
        self.end = max([load.p_vaddr + load.p_memsz for load in self._loads])
        dynamic = next(header for header in self._headers if header.p_type == PT_DYNAMIC)
        self._tables: dict[int, int] = {}
        self.dynamic: dict[int, int] = {}
        self.dynamic_at: dict[int, int] = {}
        end = dynamic.p_offset + dynamic.p_filesz
        for where in range(dynamic.p_offset, end, DYN.size):
            tag, content = DYN.unpack_from(image, where)
            self.dynamic[tag] = content
            self.dynamic_at[tag] = where

    def offset(self, address: int) -> int:
        """Return where in the file the byte for ``address`` is.

        Raises:
            ValueError: if it is not in the file.
        """
        for start, end, distance in self._parts:
            if start <= address < end:
                return address - distance
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

    @property
    def code_end(self) -> int:
        """The address behind its code.

        Raises:
            ValueError: if it has no code.
        """
        header = self._code()
        return header.p_vaddr + header.p_filesz

    def append_code(self, code: bytes) -> None:
        """Store ``code`` at `code_end`, in the file.

        Raises:
            ValueError: if the page that its code ends in has no room.
        """
        header = self._code()
        start = header.p_offset + header.p_filesz
        end = start + len(code)
        if end > start + -start % _PAGE or any(
            load.p_offset < end and load.p_offset + load.p_filesz > start for load in self._loads
        ):
            raise ValueError("there is no room behind the code")
        self._image[start:end] = code
        for field, size in ((_P_FILESZ, header.p_filesz), (_P_MEMSZ, header.p_memsz)):
            WORD.pack_into(self._image, header.at + field, size + len(code))
        self._read_headers()

    def _code(self) -> _ProgramHeader:
        code = [load for load in self._loads if load.p_flags & PF_X]
        return max(code, key=lambda header: header.p_vaddr)

    def move_headers(self, distance: int) -> None:
        """Add ``distance`` to each address of the program headers, in the file."""
        for header in self._headers:
            if header.p_type != PT_GNU_STACK:
                WORD.pack_into(self._image, header.at + _P_VADDR, header.p_vaddr + distance)
                WORD.pack_into(self._image, header.at + _P_PADDR, header.p_paddr + distance)

    def set_symbol_value(self, index: int, address: int) -> None:
        """Let an entry of the symbol table stand for ``address``, in the file."""
        at = self.table(DT_SYMTAB) + index * _SYM.size + _ST_VALUE
        WORD.pack_into(self._image, at, address)

    def set_dynamic(self, tag: int, content: int) -> None:
        """Store the dynamic section's entry for ``tag``, where it has one, in the file."""
        if tag in self.dynamic_at:
            DYN.pack_into(self._image, self.dynamic_at[tag], tag, content)

    def name(self, index: int) -> str:
        """Return the name of an entry of the symbol table."""
        start = self.table(DT_STRTAB) + self.symbol(index)[0]
        return self._image[start : self._image.find(b"\0", start)].decode()
