"""ELF32 executables for i386: the form in which multiboot kernels come, 64-bit ones included."""

from __future__ import annotations

from struct import Struct

from vmm.errors import UsageError
from vmm.images.elf import EXEC, PT_LOAD, Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

    from vmm.images.file import ImageFile

# e_machine: what the bootloader's machine can run. Wrapped 64-bit kernels keep their own number.
MACHINES: Final = (3, 62)

_HEADER: Final = Struct("<16sHHIIIIIHHHHHH")
_PROGRAM_HEADER: Final = Struct("<8I")
_MAX_PROGRAM_HEADERS: Final = 1024


class Elf32:
    """The headers of an ELF32 executable, checked.

    Attributes:
        file: what it was read from.
        entry: e_entry.
        loads: the PT_LOAD segments that are not empty, by physical address.
    """

    def __init__(self, file: ImageFile) -> None:
        """Read the headers of ``file``.

        Raises:
            UsageError: if it is not such a file, or contradicts itself; names the field.
        """
        self.file = file
        header = _HEADER.unpack(file.read(0, _HEADER.size, "the ELF header"))
        ident, kind, machine, _, self.entry, table = header[:6]
        entry_size, count = header[9:11]
        if ident[5] != 1:
            self._fail(f"EI_DATA {ident[5]}, a little-endian ELF file (1) is needed")
        if kind != EXEC:
            self._fail(f"e_type {kind} is not that of an executable (2)")
        if machine not in MACHINES:
            self._fail(f"e_machine {machine} is neither i386 (3) nor x86_64 (62)")
        if entry_size != _PROGRAM_HEADER.size:
            self._fail(f"e_phentsize is {entry_size}, not {_PROGRAM_HEADER.size}")
        if not 0 < count <= _MAX_PROGRAM_HEADERS:
            self._fail(f"e_phnum {count} is not 1 to {_MAX_PROGRAM_HEADERS}")
        length = count * entry_size
        content = file.read(table, length, "the program header table (e_phoff)")
        self.loads = self._read_loads(content)

    def _read_loads(self, content: bytes) -> tuple[Segment, ...]:
        loads = []
        for index, fields in enumerate(_PROGRAM_HEADER.iter_unpack(content)):
            kind, offset, virtual, physical, file_size, size, flags, alignment = fields
            if kind != PT_LOAD or not size:
                continue
            where = f"program header {index}: "
            if offset + file_size > self.file.size:
                self._fail(
                    f"truncated: {where}p_offset + p_filesz is {offset + file_size:#x},"
                    f" the file ends at {self.file.size:#x}"
                )
            if file_size > size:
                self._fail(f"{where}p_filesz {file_size:#x} is more than p_memsz {size:#x}")
            if physical + size > 1 << 32:
                self._fail(f"{where}p_paddr {physical:#x} + p_memsz {size:#x} is beyond 4 GiB")
            segment = Segment(kind, flags, offset, virtual, physical, file_size, size, alignment)
            loads.append(segment)
        if not loads:
            self._fail("no PT_LOAD segment: nothing to load")
        loads.sort(key=_physical)
        return tuple(loads)

    def _fail(self, problem: str) -> NoReturn:
        raise UsageError(f"{self.file.path}: {problem}")


def _physical(segment: Segment) -> int:
    return segment.physical


def physical_entry(path: str, entry: int, loads: tuple[Segment, ...]) -> int:
    """Return the physical address of ``entry``, which may be a virtual one of a segment.

    Raises:
        UsageError: if it is in no segment.
    """
    for segment in loads:
        if segment.physical <= entry < segment.physical + segment.memory_size:
            return entry
    for segment in loads:
        if segment.virtual <= entry < segment.end:
            return entry - segment.virtual + segment.physical
    raise UsageError(f"{path}: e_entry {entry:#x} is not inside a segment")
