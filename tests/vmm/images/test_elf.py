"""ELF headers: what is right is read, what is wrong is refused in one line that names the field."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vmm.images.elf_maker import (
    PT_INTERP,
    PT_LOAD,
    PT_NOTE,
    PT_TLS,
    ElfMaker,
    Part,
    R,
    W,
    X,
    note,
    program,
)
from vmm.errors import UsageError
from vmm.images.elf import Elf, Segment
from vmm.images.file import ImageFile
from vmm.images.recognise import open_image


def read(path: Path, data: bytes) -> Elf:
    """Write ``data`` and read it as an ELF file; the descriptor is closed again."""
    path.write_bytes(data)
    file = ImageFile(str(path))
    try:
        return Elf(file)
    finally:
        file.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image"


def test_headers(path: Path, arch: str) -> None:
    elf = read(path, program(arch).build())
    assert (elf.arch, elf.type, elf.entry) == (arch, 2, 0x40_0010)
    assert elf.segments == elf.loads
    assert elf.loads == (
        Segment(PT_LOAD, R | X, 0x1000, 0x40_0000, 0x40_0000, 0x123, 0x123, 0x1000),
        Segment(PT_LOAD, R | W, 0x2000, 0x40_2000, 0x40_2000, 4, 0x2345, 0x1000),
    )


def test_empty_segments_are_not_loaded(path: Path) -> None:
    maker = program()
    maker.parts.append(Part(PT_LOAD, R, 0, alignment=0))
    assert len(read(path, maker.build()).loads) == 2


def test_segments_may_be_in_any_order(path: Path) -> None:
    maker = program()
    maker.parts = [
        Part(PT_LOAD, R | X, 0x40_2000, b"1"),
        Part(PT_LOAD, R, 0x40_0000, b"1"),
        Part(PT_LOAD, R, 0x40_1000, b"1"),
    ]
    maker.header["e_entry"] = 0x40_2000
    loads = read(path, maker.build()).loads
    assert [segment.virtual for segment in loads] == [0x40_0000, 0x40_1000, 0x40_2000]


def test_interpreter_and_tls(path: Path) -> None:
    maker = program()
    maker.parts += [
        Part(PT_INTERP, R, 0, b"/lib/ld.so\0", alignment=1),
        Part(PT_TLS, R, 0x40_2000, b"ab", memory_size=0x80, alignment=0x40),
    ]
    path.write_bytes(maker.build())
    with open_image(str(path)) as image:
        assert image.elf is not None
        assert image.elf.interpreter() == "/lib/ld.so"
        tls = image.elf.find(PT_TLS)
        assert tls is not None
        assert (tls.file_size, tls.memory_size, tls.alignment) == (2, 0x80, 0x40)


def test_notes(path: Path) -> None:
    maker = program()
    maker.parts += [
        Part(PT_NOTE, R, 0, note(b"GNU", 3, b"12345") + note(b"Calypso", 1, b""), alignment=4),
        Part(PT_NOTE, R, 0, note(b"GNU", 5, b"x" * 12, 8) + note(b"GNU", 1, b"y"), alignment=8),
    ]
    elf = read_open(path, maker.build())
    found = [(entry.name, entry.type, entry.description) for entry in elf.notes()]
    elf.file.close()
    assert found == [
        ("GNU", 3, b"12345"),
        ("Calypso", 1, b""),
        ("GNU", 5, b"x" * 12),
        ("GNU", 1, b"y"),
    ]


def read_open(path: Path, data: bytes) -> Elf:
    path.write_bytes(data)
    return Elf(ImageFile(str(path)))


# ---- What is refused ----

HEADER_FIELDS = [
    ("e_type", 1, "e_type 1 is a relocatable object"),
    ("e_type", 4, "e_type 4 is a core dump"),
    ("e_type", 77, "e_type 77 is no executable"),
    ("e_machine", 243, "e_machine 243 is neither x86_64"),
    ("e_version", 2, "e_version is 2"),
    ("e_ehsize", 63, "e_ehsize is 63"),
    ("e_phentsize", 32, "e_phentsize is 32"),
    ("e_phnum", 0, "e_phnum is 0"),
    ("e_phnum", 0xFFFF, "e_phnum 65535 is more than"),
    ("e_phnum", 1000, r"truncated: the program header table \(e_phoff\)"),
    ("e_phoff", 1 << 63, r"truncated: the program header table \(e_phoff\)"),
]


@pytest.mark.parametrize(("field", "number", "problem"), HEADER_FIELDS)
def test_bad_header_fields(path: Path, field: str, number: int, problem: str) -> None:
    refuse(path, program(header={field: number}), problem)


@pytest.mark.parametrize(
    ("ident", "problem"),
    [
        pytest.param(b"\x7fELG\x02\x01\x01", "not an ELF file", id="magic"),
        pytest.param(b"\x7fELF\x01\x01\x01", r"EI_CLASS 1 \(32-bit\)", id="32-bit"),
        pytest.param(b"\x7fELF\x09\x01\x01", "EI_CLASS 9", id="class"),
        pytest.param(b"\x7fELF\x02\x02\x01", "EI_DATA 2", id="big-endian"),
        pytest.param(b"\x7fELF\x02\x01\x07", "EI_VERSION is 7", id="version"),
    ],
)
def test_bad_ident(path: Path, ident: bytes, problem: str) -> None:
    refuse(path, program(ident=ident.ljust(16, b"\0")), problem)


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        pytest.param([], "e_phnum is 0", id="none"),
        pytest.param([Part(PT_NOTE, R, 0, alignment=4)], "no PT_LOAD segment", id="no-load"),
        pytest.param(
            [Part(PT_LOAD, R | X, 0x40_0000, b"12345", memory_size=4)],
            "program header 0: p_filesz 0x5 is more than p_memsz 0x4",
            id="filesz-beyond-memsz",
        ),
        pytest.param(
            [Part(PT_LOAD, R, 0x40_0000, b"1" * 100), Part(PT_LOAD, R, 0x40_0050, b"1")],
            "p_vaddr 0x400050: this segment overlaps the one at 0x400000..0x400064",
            id="overlap",
        ),
        pytest.param(
            [Part(PT_LOAD, R, 0x40_0000, b"1", memory_size=(1 << 64) - 1)],
            "p_memsz 0xffffffffffffffff goes past the end of the address space",
            id="huge",
        ),
        pytest.param(
            [Part(PT_LOAD, R, 0, b"1", physical=(1 << 64) - 1, memory_size=2)],
            "p_memsz 0x2 goes past the end",
            id="physical-wraps",
        ),
        pytest.param(
            [Part(PT_LOAD, R, (1 << 64) - 0x1000, b"1", physical=0, memory_size=0x1001)],
            "p_memsz 0x1001 goes past the end",
            id="virtual-wraps",
        ),
        pytest.param(
            [Part(PT_LOAD, R, 0, b"1", alignment=3)], "p_align 0x3 is no power", id="align-3"
        ),
        pytest.param(
            [Part(PT_LOAD, R, 0, alignment=1 << 40)], "p_align 0x10000000000", id="align-huge"
        ),
        pytest.param(
            [Part(PT_TLS, R, 0, b"12", memory_size=1, alignment=1)],
            "program header 0: p_filesz 0x2 is more than p_memsz 0x1",
            id="tls",
        ),
    ],
)
def test_bad_segments(path: Path, parts: list[Part], problem: str) -> None:
    refuse(path, program(parts=parts), problem)


def test_offset_and_address_must_agree(path: Path) -> None:
    data = bytearray(program().build())
    offset = 64 + 8  # p_offset of the first program header
    data[offset] ^= 8
    with pytest.raises(UsageError, match="p_vaddr 0x400000 and p_offset 0x1008 differ modulo"):
        read(path, bytes(data))


def test_segments_must_be_in_the_file(path: Path) -> None:
    data = program().build()
    with pytest.raises(UsageError, match=r"truncated: program header 1: p_offset \+ p_filesz"):
        read(path, data[:-1])


@pytest.mark.parametrize("entry", [0, 0x3F_FFFF, 0x40_0123, 0x40_2000, 1 << 63])
def test_entry_must_be_executable(path: Path, entry: int) -> None:
    elf = read(path, program(entry=entry).build())
    with pytest.raises(UsageError, match=f"e_entry {entry:#x} is not inside an executable"):
        elf.check_entry()


@pytest.mark.parametrize("entry", [0x40_0000, 0x40_0122])
def test_entry_may_be_anywhere_in_code(path: Path, entry: int) -> None:
    read(path, program(entry=entry).build()).check_entry()


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"/lib/ld.so", b"/lib\0/ld.so\0", b"/" * 4096 + b"\0"]
)
def test_bad_interpreters(path: Path, content: bytes) -> None:
    maker = program()
    maker.parts.append(Part(PT_INTERP, R, 0, content, alignment=1))
    elf = read_open(path, maker.build())
    with pytest.raises(UsageError, match="PT_INTERP"):
        elf.interpreter()
    elf.file.close()


def test_two_interpreters(path: Path) -> None:
    maker = program()
    maker.parts += [Part(PT_INTERP, R, 0, b"/a\0", alignment=1)] * 2
    elf = read(path, maker.build())
    with pytest.raises(UsageError, match="2 segments of p_type 3"):
        elf.interpreter()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(struct.pack("<III", 100, 0, 1), id="name"),
        pytest.param(struct.pack("<III4s", 4, 100, 1, b"GNU"), id="description"),
        pytest.param(struct.pack("<III", 0xFFFF_FFFF, 0xFFFF_FFFF, 1), id="huge"),
    ],
)
def test_notes_must_be_within_their_segment(path: Path, content: bytes) -> None:
    maker = program()
    maker.parts.append(Part(PT_NOTE, R, 0, content, alignment=4))
    elf = read_open(path, maker.build())
    with pytest.raises(UsageError, match="PT_NOTE: the note at byte 0x0 runs past"):
        elf.notes()
    elf.file.close()


def test_notes_are_bounded(path: Path) -> None:
    maker = program()
    maker.parts += [Part(PT_NOTE, R, 0, bytes(1 << 15), alignment=4)] * 3
    elf = read_open(path, maker.build())
    with pytest.raises(UsageError, match="PT_NOTE: p_filesz sums to more than 65536"):
        elf.notes()
    elf.file.close()


def refuse(path: Path, maker: ElfMaker, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        read(path, maker.build())
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


# ---- Any bytes at all ----

WORDS = st.one_of(
    st.integers(0, 70),
    st.sampled_from([0x1000, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 47, 1 << 63, (1 << 64) - 1]),
    st.integers(0, (1 << 64) - 1),
)
# Offsets of the header and of the program headers, where a change means something.
MUTATIONS = st.lists(
    st.tuples(st.integers(0, 64 + 4 * 56), st.sampled_from([1, 2, 4, 8]), WORDS), max_size=6
)


@st.composite
def mutated_elfs(draw: st.DrawFn) -> bytes:
    maker = program(draw(st.sampled_from(["x86_64", "arm64"])))
    maker.parts += [
        Part(PT_INTERP, R, 0, b"/lib/ld.so\0", alignment=1),
        Part(PT_NOTE, R, 0, note(b"GNU", 3, b"12345"), alignment=4),
    ]
    for part in maker.parts:
        part.alignment = min(part.alignment, 16)  # no padding: what matters stays close together
    data = bytearray(maker.build())
    for offset, size, word in draw(MUTATIONS):
        data[offset : offset + size] = (word % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(mutated_elfs(), st.binary(max_size=300).map(b"\x7fELF\x02\x01\x01".__add__)))
def test_any_file_is_read_or_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    problem = ""
    try:
        with open_image(str(path)) as image:
            image.symbolize(0x40_0010)
            if image.kind == "linux-program":
                assert image.elf is not None
                check_sound(image.elf, len(data))
                image.elf.interpreter()
            else:
                problem = image.complaint
    except UsageError as error:
        problem = str(error)
    assert problem == "" or problem.startswith(f"{path}: ")
    assert "\n" not in problem


def check_sound(elf: Elf, size: int) -> None:
    """What every loader may rely on."""
    end = 0
    for segment in elf.loads:
        assert end <= segment.virtual
        assert 0 <= segment.file_size <= segment.memory_size
        assert segment.file_size == 0 or segment.offset + segment.file_size <= size
        end = segment.end
    assert end <= 1 << 47
    assert any(s.flags & X and s.virtual <= elf.entry < s.end for s in elf.loads)


def test_the_worst_file_takes_little_time_and_memory(path: Path) -> None:
    """As many program headers as Linux allows, in a sparse file of a terabyte."""
    count = 65536 // 56
    parts = [Part(PT_LOAD, R | X, 0x1000 * (i + 1), memory_size=0x1000) for i in range(count)]
    sections = {"e_shoff": 1 << 39, "e_shnum": 0xFFFF, "e_shentsize": 64}
    maker = ElfMaker(entry=0x1000, parts=parts, header=sections)
    path.write_bytes(maker.build())
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    tracemalloc.start()
    started = time.monotonic()
    try:
        with open_image(str(path)) as image:
            assert image.kind == "linux-program"
            assert image.symbolize(0x1000) is None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 2
    assert peak < 32 << 20
