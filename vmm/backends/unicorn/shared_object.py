"""The dynamic section and relocations of a 64-bit little-endian ELF shared library.

Names and layouts: System V gABI, chapter 5, and <elf.h>.
"""

from __future__ import annotations

from struct import Struct, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator
    from typing import Final

PT_LOAD: Final = 1
PT_DYNAMIC: Final = 2

DT_PLTRELSZ: Final = 2
DT_STRTAB: Final = 5
DT_SYMTAB: Final = 6
DT_RELA: Final = 7
DT_RELASZ: Final = 8
DT_JMPREL: Final = 23
DT_RELACOUNT: Final = 0x6FFF_FFF9

RELA: Final = Struct("<QQq")  # r_offset, r_info, r_addend
DYN: Final = Struct("<QQ")  # d_tag, d_val

_EHDR: Final = Struct("<16x2xH12xQ14xHH")  # e_machine, e_phoff, e_phentsize, e_phnum
_PHDR: Final = Struct("<I4xQQ8xQ")  # p_type, p_offset, p_vaddr, p_filesz
_SYM: Final = Struct("<IBxHQ8x")  # st_name, st_info, st_shndx, st_value


class SharedObject:
    """A library's file, open for reading.

    Attributes:
        machine: e_machine.
        dynamic: the dynamic section, by tag.
        dynamic_at: where each tag's entry is in the file.
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
        headers = [_PHDR.unpack_from(image, start + size * index) for index in range(count)]
        self._loads = [header[1:] for header in headers if header[0] == PT_LOAD]
        at, _, length = next(header[1:] for header in headers if header[0] == PT_DYNAMIC)
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

    def name(self, index: int) -> str:
        """Return the name of an entry of the symbol table."""
        start = self.table(DT_STRTAB) + self.symbol(index)[0]
        return self._image[start : self._image.find(b"\0", start)].decode()
