"""ELF64 executables: what a loader must know, checked before anything relies on it.

Little-endian ELF64 for x86_64 and arm64, of type ET_EXEC or ET_DYN. Field names in messages are
those of the ELF specification (System V gABI, chapters 4 and 5).
"""

from __future__ import annotations

from itertools import pairwise
from struct import Struct

from vmm.arch import ARM64, X86_64
from vmm.errors import UsageError
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

    from vmm.arch import Arch
    from vmm.images.file import ImageFile

MAGIC: Final = b"\x7fELF"
CLASS_32: Final = 1
CLASS_64: Final = 2
DATA_LITTLE_ENDIAN: Final = 1

# e_type
REL: Final = 1
EXEC: Final = 2
DYN: Final = 3
CORE: Final = 4

# p_type
PT_LOAD: Final = 1
PT_DYNAMIC: Final = 2
PT_INTERP: Final = 3
PT_NOTE: Final = 4
PT_PHDR: Final = 6
PT_TLS: Final = 7

# p_flags
PF_X: Final = 1
PF_W: Final = 2
PF_R: Final = 4

MACHINES: Final[dict[int, Arch]] = {62: X86_64, 183: ARM64}

_TYPES: Final = {REL: "a relocatable object: link it first", CORE: "a core dump"}

_HEADER: Final = Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER: Final = Struct("<IIQQQQQQ")
_NOTE_HEADER: Final = Struct("<III")

# Linux refuses more than 64 KiB of program headers; PN_XNUM (0xffff) is beyond that as well.
MAX_PROGRAM_HEADERS: Final = 65536 // _PROGRAM_HEADER.size
# A huge page is the largest alignment that means anything; more would only shift a program away.
MAX_ALIGNMENT: Final = 1 << 30
# Linux's PATH_MAX, which bounds the interpreter's name there too.
MAX_INTERPRETER: Final = 4096
# A build id and a few properties take some hundred bytes; this bounds what a file makes us read.
MAX_NOTES: Final = 1 << 16

_ADDRESS_END: Final = 1 << 64


@value
class Segment:
    """One program header.

    Attributes:
        type: p_type.
        flags: p_flags; bits `PF_R`, `PF_W`, `PF_X`.
        offset: of its bytes in the file.
        virtual: p_vaddr.
        physical: p_paddr.
        file_size: bytes in the file; the rest of ``memory_size`` is zero.
        memory_size: bytes in memory.
        alignment: 0 or 1 for none, else a power of two.
    """

    type: int
    flags: int
    offset: int
    virtual: int
    physical: int
    file_size: int
    memory_size: int
    alignment: int

    @property
    def end(self) -> int:
        """The first virtual address behind the segment."""
        return self.virtual + self.memory_size


@value
class Note:
    """One entry of a PT_NOTE segment; ``name`` without its NUL."""

    name: str
    type: int
    description: bytes


class Elf:
    """The headers of an ELF executable, checked.

    Attributes:
        file: what it was read from.
        arch: the architecture of its code.
        type: `EXEC` or `DYN`.
        entry: e_entry, a virtual address (relative to the load address for `DYN`).
        segments: all program headers, in file order.
        loads: the PT_LOAD segments that are not empty: ascending and disjoint; those of a kernel
            in the upper half by physical address, and whether they overlap is for its loader.
        section_offset: e_shoff.
        section_count: e_shnum.
        section_size: e_shentsize.
    """

    def __init__(self, file: ImageFile) -> None:
        """Read the headers of ``file``.

        Raises:
            UsageError: if it is not such a file, or contradicts itself; names the field.
        """
        self.file = file
        (
            ident,
            self.type,
            machine,
            version,
            self.entry,
            table_offset,
            self.section_offset,
            _,
            header_size,
            entry_size,
            count,
            self.section_size,
            self.section_count,
            _,
        ) = _HEADER.unpack(file.read(0, _HEADER.size, "the ELF header"))
        self._check_ident(ident)
        if self.type not in (EXEC, DYN):
            self._fail(f"e_type {self.type} is {_TYPES.get(self.type, 'no executable')}")
        if machine not in MACHINES:
            self._fail(f"e_machine {machine} is neither x86_64 (62) nor arm64 (183)")
        if version != 1:
            self._fail(f"e_version is {version}, not 1")
        if header_size != _HEADER.size:
            self._fail(f"e_ehsize is {header_size}, not {_HEADER.size}")
        self.arch: Arch = MACHINES[machine]
        self.segments = self._read_segments(table_offset, entry_size, count)
        self.loads = self._check_loads()

    def find(self, segment_type: int) -> Segment | None:
        """Return the first segment of this type.

        Raises:
            UsageError: if there is more than one.
        """
        found = [segment for segment in self.segments if segment.type == segment_type]
        if len(found) > 1:
            self._fail(f"{len(found)} segments of p_type {segment_type}, at most one makes sense")
        return found[0] if found else None

    def check_entry(self) -> None:
        """Check that execution would begin in an executable segment.

        Raises:
            UsageError: if it would not.
        """
        for segment in self.loads:
            if segment.flags & PF_X and segment.virtual <= self.entry < segment.end:
                return
        self._fail(f"e_entry {self.entry:#x} is not inside an executable segment")

    def interpreter(self) -> str | None:
        """Return the path of the dynamic loader that the file asks for, or None.

        Raises:
            UsageError: if PT_INTERP holds no path.
        """
        segment = self.find(PT_INTERP)
        if segment is None:
            return None
        if not 2 <= segment.file_size <= MAX_INTERPRETER:
            self._fail(f"PT_INTERP: p_filesz {segment.file_size} is not 2 to {MAX_INTERPRETER}")
        path = self.file.read(segment.offset, segment.file_size, "PT_INTERP")
        # Some linkers fill it up with further NULs.
        name = path.rstrip(b"\0")
        if not name or name == path or b"\0" in name:
            self._fail("PT_INTERP is not one NUL-terminated path")
        return name.decode("utf-8", "surrogateescape")

    def notes(self) -> list[Note]:
        """Return the entries of all PT_NOTE segments.

        Raises:
            UsageError: if one runs past the end of its segment.
        """
        notes: list[Note] = []
        budget = MAX_NOTES
        for segment in self.segments:
            if segment.type != PT_NOTE:
                continue
            budget -= segment.file_size
            if budget < 0:
                self._fail(f"PT_NOTE: p_filesz sums to more than {MAX_NOTES} bytes")
            self._read_notes(segment, notes)
        return notes

    def _read_notes(self, segment: Segment, notes: list[Note]) -> None:
        data = self.file.read(segment.offset, segment.file_size, "PT_NOTE")
        # The ABI's GNU properties are the one kind whose entries are aligned to 8 bytes.
        mask = 7 if segment.alignment == 8 else 3
        position = 0
        while position + _NOTE_HEADER.size <= len(data):
            name_size, size, note_type = _NOTE_HEADER.unpack_from(data, position)
            name_start = position + _NOTE_HEADER.size
            start = (name_start + name_size + mask) & ~mask
            if name_start + name_size > len(data) or (size and start + size > len(data)):
                self._fail(f"PT_NOTE: the note at byte {position:#x} runs past the segment's end")
            name = data[name_start : name_start + name_size].rstrip(b"\0")
            description = data[start : start + size]
            notes.append(Note(name.decode("ascii", "backslashreplace"), note_type, description))
            position = (start + size + mask) & ~mask

    def _check_ident(self, ident: bytes) -> None:
        if not ident.startswith(MAGIC):
            self._fail("not an ELF file: it does not begin with 7f 45 4c 46")
        if ident[4] != CLASS_64:
            kind = "32-bit" if ident[4] == CLASS_32 else "no known class"
            self._fail(f"EI_CLASS {ident[4]} ({kind}), a 64-bit ELF file is needed")
        if ident[5] != DATA_LITTLE_ENDIAN:
            self._fail(f"EI_DATA {ident[5]}, a little-endian ELF file (1) is needed")
        if ident[6] != 1:
            self._fail(f"EI_VERSION is {ident[6]}, not 1")

    def _read_segments(self, offset: int, entry_size: int, count: int) -> tuple[Segment, ...]:
        if count == 0:
            self._fail("e_phnum is 0: nothing to load")
        if entry_size != _PROGRAM_HEADER.size:
            self._fail(f"e_phentsize is {entry_size}, not {_PROGRAM_HEADER.size}")
        if count > MAX_PROGRAM_HEADERS:
            self._fail(f"e_phnum {count} is more than {MAX_PROGRAM_HEADERS}")
        table = self.file.read(offset, count * entry_size, "the program header table (e_phoff)")
        segments = tuple([Segment(*fields) for fields in _PROGRAM_HEADER.iter_unpack(table)])
        for index, segment in enumerate(segments):
            self._check_segment(f"program header {index}: ", segment)
        return segments

    def _check_segment(self, where: str, segment: Segment) -> None:
        end = segment.offset + segment.file_size
        if segment.file_size and end > self.file.size:
            self._fail(
                f"truncated: {where}p_offset + p_filesz is {end:#x},"
                f" the file ends at {self.file.size:#x}"
            )
        alignment = segment.alignment
        if alignment & (alignment - 1) or alignment > MAX_ALIGNMENT:
            self._fail(f"{where}p_align {alignment:#x} is no power of two up to 1 GiB")
        if segment.type not in (PT_LOAD, PT_TLS):
            return
        if segment.file_size > segment.memory_size:
            self._fail(
                f"{where}p_filesz {segment.file_size:#x} is more than"
                f" p_memsz {segment.memory_size:#x}"
            )
        if segment.end > _ADDRESS_END or segment.physical + segment.memory_size > _ADDRESS_END:
            self._fail(
                f"{where}p_memsz {segment.memory_size:#x} goes past the end of the address space"
            )
        if (
            segment.type == PT_LOAD
            and segment.memory_size
            and alignment > 1
            and (segment.virtual - segment.offset) % alignment
        ):
            self._fail(
                f"{where}p_vaddr {segment.virtual:#x} and p_offset {segment.offset:#x}"
                f" differ modulo p_align {alignment:#x}"
            )

    def _check_loads(self) -> tuple[Segment, ...]:
        loads = [s for s in self.segments if s.type == PT_LOAD and s.memory_size]
        if not loads:
            self._fail("no PT_LOAD segment: nothing to load")
        if loads[0].virtual >> 63:
            # A kernel goes by physical addresses; Linux has a segment at virtual address 0 besides.
            loads.sort(key=_physical)
            return tuple(loads)
        # They should be in ascending order, but linkers of kernels put one for TLS at the end.
        loads.sort(key=_virtual)
        for before, after in pairwise(loads):
            if after.virtual < before.end:
                self._fail(
                    f"p_vaddr {after.virtual:#x}: this segment overlaps the one"
                    f" at {before.virtual:#x}..{before.end:#x}"
                )
        return tuple(loads)

    def _fail(self, problem: str) -> NoReturn:
        raise UsageError(f"{self.file.path}: {problem}")


def _physical(segment: Segment) -> int:
    return segment.physical


def _virtual(segment: Segment) -> int:
    return segment.virtual
