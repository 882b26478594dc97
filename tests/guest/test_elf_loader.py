"""The ELF loader: what is mapped is what the file says, and what is wrong is refused."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guest.systemlib import PAGE, PROGRAM_AT, ffi, smallest_program, system

PT_LOAD, PT_INTERP = 1, 3
READ, WRITE, EXECUTE = 4, 2, 1
USER_START, USER_END = 0x1_0000, 0x7FFF_FFFF_F000
ENOEXEC = 8


@dataclass(frozen=True)
class Segment:
    address: int
    offset: int
    file_size: int
    memory_size: int
    flags: int = READ
    align: int = PAGE
    kind: int = PT_LOAD


@dataclass(frozen=True)
class Elf:
    segments: tuple[Segment, ...]
    entry: int = 0x40_0000
    kind: int = 2
    machine: int = 62
    size: int = 8 * PAGE
    identity: bytes = b"\x7fELF\x02\x01\x01"
    header_size: int = 56
    header_offset: int = 64

    def build(self) -> bytes:
        header = struct.pack(
            "<16sHHIQQQIHHHHHH",
            *(self.identity, self.kind, self.machine, 1, self.entry, self.header_offset, 0, 0),
            *(64, self.header_size, len(self.segments), 0, 0, 0),
        )
        for s in self.segments:
            header += struct.pack(
                "<IIQQQQQQ",
                *(s.kind, s.flags, s.offset, s.address, s.address),
                *(s.file_size, s.memory_size, s.align),
            )
        body = bytes((i // PAGE * 16 + i % 251) % 256 for i in range(self.size))
        return (header + body[len(header) :])[: self.size]


CODE = Segment(0x40_0000, 0, 0x1800, 0x1800, READ | EXECUTE)
DATA = Segment(0x40_2800, 0x1800, 0x500, 0x2000, READ | WRITE)
GOOD = Elf((CODE, DATA))


@dataclass(frozen=True)
class Loaded:
    error: int
    problem: str
    image: Any = None


def load(kernel: Any, data: bytes) -> Loaded:
    image = ffi.new("struct elf_image *")
    problem = ffi.new("const char **")
    pointer = kernel.store(PROGRAM_AT + (1 << 20), data)
    kernel.lib.space_unmap(USER_START, USER_END - USER_START)
    error = kernel.lib.host_load_elf(pointer, len(data), image, problem)
    return Loaded(-error, ffi.string(problem[0]).decode() if error else "", image)


def mappings(kernel: Any) -> list[tuple[int, int, int]]:
    """(start, end, protection) of all mappings."""
    mapping = ffi.new("struct space_mapping *")
    found = []
    at = 0
    while kernel.lib.space_find(at, mapping):
        found.append((mapping.start, mapping.end, mapping.protection))
        at = mapping.end
    return found


def protection(flags: int) -> int:
    return (flags & READ) // READ | flags & WRITE | (flags & EXECUTE) * 4


def test_segments_are_mapped_with_their_rights() -> None:
    with system() as kernel:
        loaded = load(kernel, GOOD.build())
        assert loaded.error == 0
        assert mappings(kernel) == [
            (0x40_0000, 0x40_2000, 5),
            (0x40_2000, 0x40_3000, 3),
            (0x40_3000, 0x40_5000, 3),
        ]
        assert (loaded.image.entry, loaded.image.base, loaded.image.end) == (
            0x40_0000,
            0,
            0x40_5000,
        )
        assert (loaded.image.headers, loaded.image.header_count) == (0x40_0040, 2)


def test_content_is_the_files_and_zeros_behind_it() -> None:
    data = GOOD.build()
    with system() as kernel:
        load(kernel, data)
        assert kernel.get(0x40_0000, 0x2000) == data[:0x2000]
        assert kernel.get(0x40_2800, 0x500) == data[0x1800:0x1D00]
        assert kernel.get(0x40_2D00, 0x2300) == bytes(0x2300)


def test_position_independent_programs_go_where_linux_puts_them() -> None:
    code = replace(CODE, address=0)
    with system() as kernel:
        loaded = load(kernel, Elf((code,), entry=0x100, kind=3).build())
        assert loaded.error == 0
        assert loaded.image.base == USER_END // 3 * 2 >> 21 << 21
        assert loaded.image.entry == loaded.image.base + 0x100


def test_large_alignments_are_kept() -> None:
    code = replace(CODE, address=0, align=1 << 24)
    with system() as kernel:
        loaded = load(kernel, Elf((code,), entry=0x100, kind=3).build())
        assert loaded.image.base % (1 << 24) == 0


BAD = {
    "not an ELF file": replace(GOOD, identity=b"\x7fELG\x02\x01\x01"),
    "32 bits": replace(GOOD, identity=b"\x7fELF\x01\x01\x01"),
    "big-endian": replace(GOOD, identity=b"\x7fELF\x02\x02\x01"),
    "another machine": replace(GOOD, machine=183),
    "a relocatable file": replace(GOOD, kind=1),
    "header size": replace(GOOD, header_size=40),
    "headers beyond the end": replace(GOOD, header_offset=8 * PAGE - 10),
    "headers at the end of numbers": replace(GOOD, header_offset=(1 << 64) - 56),
    "no segment": replace(GOOD, segments=()),
    "nothing to load": replace(GOOD, segments=(replace(CODE, memory_size=0, file_size=0),)),
    "too large in the file": replace(GOOD, segments=(replace(CODE, memory_size=0x1000),)),
    "beyond the file": replace(
        GOOD, segments=(replace(CODE, file_size=0x9000, memory_size=0x9000),)
    ),
    "offset wraps": replace(GOOD, segments=(replace(CODE, offset=(1 << 64) - PAGE),)),
    "address wraps": replace(GOOD, segments=(replace(CODE, address=(1 << 64) - PAGE),)),
    "beyond the address space": replace(GOOD, segments=(replace(CODE, memory_size=USER_END),)),
    "page 0": replace(GOOD, segments=(replace(CODE, address=0),), entry=0x100),
    "misaligned": replace(GOOD, segments=(replace(CODE, address=0x40_0800),), entry=0x40_0800),
    "alignment": replace(GOOD, segments=(replace(CODE, align=3 * PAGE),)),
    "overlap": replace(GOOD, segments=(CODE, replace(DATA, address=0x40_1800))),
    "order": replace(GOOD, segments=(DATA, CODE)),
    "entry in data": replace(GOOD, entry=0x40_2800),
    "entry outside": replace(GOOD, entry=0x50_0000),
}


@pytest.mark.parametrize("elf", BAD.values(), ids=BAD.keys())
def test_refused(elf: Elf) -> None:
    with system() as kernel:
        loaded = load(kernel, elf.build())
        assert loaded.error == ENOEXEC
        assert loaded.problem
        assert mappings(kernel) == []


@pytest.mark.parametrize("length", [0, 1, 63, 64, 119, PAGE - 1])
def test_cut_files_are_refused(length: int) -> None:
    with system() as kernel:
        assert load(kernel, GOOD.build()[:length]).error == ENOEXEC


SEGMENTS = st.builds(
    Segment,
    address=st.integers(0x3F_0000, 0x42_0000),
    offset=st.integers(0, 8 * PAGE),
    file_size=st.integers(0, 3 * PAGE),
    memory_size=st.integers(0, 6 * PAGE),
    flags=st.integers(0, 7),
    align=st.sampled_from([0, 1, PAGE, 16 * PAGE]),
    kind=st.sampled_from([PT_LOAD, PT_LOAD, PT_LOAD, 0, 4]),
).map(lambda s: replace(s, offset=s.offset & ~(PAGE - 1) | s.address & PAGE - 1))


def should_load(elf: Elf) -> bool:
    end = 0
    for s in elf.segments:
        if s.kind != PT_LOAD or s.memory_size == 0:
            continue
        if s.file_size > s.memory_size or s.offset + s.file_size > elf.size:
            return False
        if s.address // PAGE * PAGE < end:
            return False
        end = -(-(s.address + s.memory_size) // PAGE) * PAGE
    return end > 0 and any(
        s.kind == PT_LOAD and s.flags & EXECUTE and 0 <= elf.entry - s.address < s.memory_size
        for s in elf.segments
    )


@settings(max_examples=500)
@given(st.lists(SEGMENTS, max_size=4).map(lambda s: tuple(sorted(s, key=lambda x: x.address))))
def test_any_segments(segments: tuple[Segment, ...]) -> None:
    entry = next((s.address for s in segments if s.flags & EXECUTE), 0x40_0000)
    elf = Elf(segments, entry=entry)
    data = elf.build()
    with system() as kernel:
        loaded = load(kernel, data)
        assert (loaded.error == 0) == should_load(elf), loaded.problem
        if loaded.error:
            return
        for s in segments:
            if s.kind != PT_LOAD or s.memory_size == 0:
                continue
            rights = {p for start, end, p in mappings(kernel) if start <= s.address < end}
            assert rights == {protection(s.flags)}
            if s.flags & READ:
                content = kernel.get(s.address, s.memory_size)
                assert content[: s.file_size] == data[s.offset : s.offset + s.file_size]
                assert content[s.file_size :] == bytes(s.memory_size - s.file_size)


@settings(max_examples=300)
@given(st.data())
def test_damaged_headers_do_no_harm(data: st.DataObject) -> None:
    program = bytearray(GOOD.build())
    for _ in range(data.draw(st.integers(1, 5))):
        program[data.draw(st.integers(0, 175))] = data.draw(st.integers(0, 255))
    with system() as kernel:
        load(kernel, bytes(program))


def test_a_program_is_mapped_from_where_the_vmm_put_it() -> None:
    with system(program=smallest_program()) as kernel:
        used = kernel.lib.frame_statistics().used
        assert kernel.get(0x40_0000, 4) == b"\x7fELF"
        # No frame was needed but perhaps those of a page table.
        assert kernel.lib.frame_statistics().used - used <= 3


def test_an_interpreter_must_be_there() -> None:
    path = b"/lib/ld-nowhere.so.1\0"
    interpreter = Segment(0, 8 * PAGE - len(path), len(path), len(path), kind=PT_INTERP)
    program = replace(GOOD, segments=(interpreter, CODE, DATA)).build()
    with system(program=program[: -len(path)] + path, arguments=[b"/bin/x"]) as kernel:
        message = ffi.string(kernel.lib.host.message).decode()
        assert message == "cannot run /bin/x: its interpreter is not in the root directory"
