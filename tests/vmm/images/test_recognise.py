"""Files are recognised for what they are, and what cannot boot is explained."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.descriptors import open_descriptors
from tests.vmm.hypercall.host_c import compile_c
from tests.vmm.images.elf_maker import (
    DIRECT_MAP,
    PT_INTERP,
    PT_LOAD,
    PT_NOTE,
    ElfMaker,
    Part,
    R,
    W,
    X,
    kernel,
    note,
    program,
)
from vmm.arch import host_arch
from vmm.errors import UsageError
from vmm.images.recognise import open_image


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image"


def dynamic(arch: str) -> ElfMaker:
    maker = program(arch, type=3, entry=0x10)
    for part in maker.parts:
        part.virtual -= 0x40_0000
    maker.parts.append(Part(PT_INTERP, R, 0, b"/lib/ld.so\0", alignment=1))
    return maker


def static_pie(arch: str) -> ElfMaker:
    maker = dynamic(arch)
    maker.parts.pop()
    return maker


@pytest.mark.parametrize("make", [program, static_pie, dynamic])
def test_linux_programs(path: Path, arch: str, make: object) -> None:
    path.write_bytes(make(arch).build())
    with open_image(str(path)) as image:
        assert (image.kind, image.arch, image.complaint) == ("linux-program", arch, "")


def test_calypso_kernels(path: Path, arch: str) -> None:
    path.write_bytes(kernel(arch).build())
    with open_image(str(path)) as image:
        assert (image.kind, image.arch) == ("calypso-kernel", arch)


def test_real_programs_of_this_host() -> None:
    shell = os.path.realpath("/bin/sh")
    with open(shell, "rb") as file:
        expected = ELFFile(file)
        interpreter = next(
            segment.get_interp_name()
            for segment in expected.iter_segments()
            if segment["p_type"] == "PT_INTERP"
        )
        loads = [
            (segment["p_vaddr"], segment["p_memsz"], segment["p_offset"], segment["p_filesz"])
            for segment in expected.iter_segments()
            if segment["p_type"] == "PT_LOAD"
        ]
    with open_image(shell) as image:
        assert (image.kind, image.arch) == ("linux-program", host_arch())
        assert image.elf is not None
        assert image.elf.interpreter() == interpreter
        assert [(s.virtual, s.memory_size, s.offset, s.file_size) for s in image.elf.loads] == loads


# ---- Kernels that will not do ----


def test_a_kernel_of_another_abi_version(path: Path) -> None:
    path.write_bytes(kernel(abi_version=7).build())
    with pytest.raises(UsageError, match="speaks ABI version 7, this VMM 1"):
        open_image(str(path))


def change_kernel(index: int, **changes: int) -> bytes:
    maker = kernel()
    for name, content in changes.items():
        setattr(maker.parts[index], name, content)
    return maker.build()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"physical": 0x20_0000}, "is not 0xffff900000000000 . p_paddr", id="place"),
        pytest.param({"flags": R | W | X}, "none of R, RW, RX and 0", id="writable-code"),
        pytest.param({"flags": X}, "none of R, RW, RX and 0", id="unreadable"),
        pytest.param(
            {"virtual": DIRECT_MAP["x86_64"] + 0x10_3010, "physical": 0x10_3010},
            "p_paddr 0x103010 is not a multiple of 4096",
            id="unaligned",
        ),
    ],
)
def test_kernels_with_impossible_segments(
    path: Path, changes: dict[str, int], problem: str
) -> None:
    path.write_bytes(change_kernel(1, **changes))
    with pytest.raises(UsageError, match=problem):
        open_image(str(path))


def test_a_kernel_below_its_place(path: Path) -> None:
    path.write_bytes(change_kernel(0, virtual=DIRECT_MAP["x86_64"] + 0x8_0000, physical=0x8_0000))
    with pytest.raises(UsageError, match="p_paddr 0x80000 is below 0x100000"):
        open_image(str(path))


def test_a_program_beyond_user_space(path: Path) -> None:
    maker = program()
    maker.parts[1].memory_size = 1 << 47
    path.write_bytes(maker.build())
    with pytest.raises(UsageError, match="beyond the end of user space at 0x800000000000"):
        open_image(str(path))


# ---- What nothing here can boot ----


def with_note(name: bytes) -> bytes:
    maker = program()
    maker.parts.append(Part(PT_NOTE, R, 0, note(name, 1, b"1234"), alignment=4))
    return maker.build()


def at(offset: int, magic: bytes) -> bytes:
    return b"\xeb\xfe".ljust(offset, b"\x90") + magic + bytes(600)


def elf32(machine: int) -> bytes:
    return b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 2, machine) + bytes(40)


FOREIGN = {
    "empty": (b"", "the file is empty"),
    "script": (b"#!/bin/sh\necho\n", "a script: run its interpreter"),
    "text": ("naïve text\n".encode(), "a text file"),
    "long-text": (("x" + "ü" * 5000).encode(), "a text file"),  # cut within a character
    "binary": (b"\x01\x02\x03\x04\x05\x06\x07\x08\x09", "it begins with 01 02 03 04 05 06 07 08"),
    "gzip": (gzip.compress(b"x"), "compressed with gzip: unpack it first"),
    "cpio": (b"070701" + bytes(100), "a cpio archive: give it as --initrd"),
    "pe": (b"MZ" + bytes(1000), "a Windows or EFI executable"),
    "boot-sector": (at(0x1FE, b"\x55\xaa"), "a disk image or boot sector"),
    "device-tree": (b"\xd0\x0d\xfe\xed" + bytes(100), "a device tree blob"),
    "elf32": (elf32(3), "a 32-bit ELF file for i386"),
    "elf32-other": (elf32(99), "a 32-bit ELF file for machine 99"),
    "solo5": (with_note(b"Solo5"), "a Solo5 unikernel"),
    "pvh": (with_note(b"Xen"), "a kernel with a Xen or PVH entry"),
    "freebsd-note": (with_note(b"FreeBSD"), "for another operating system"),
    "freebsd-abi": (
        program(ident=b"\x7fELF\x02\x01\x01\x09".ljust(16, b"\0")).build(),
        "for another operating system",
    ),
    "shared-library": (program(type=3, entry=0).build(), "a shared library"),
    "kernel": (
        ElfMaker(
            entry=0xFFFF_FFFF_8100_0000,
            parts=[Part(PT_LOAD, R | X, 0xFFFF_FFFF_8100_0000, b"x", physical=0x100_0000)],
        ).build(),
        "an operating system's kernel",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_complaints(path: Path, name: str) -> None:
    content, problem = FOREIGN[name]
    path.write_bytes(content)
    with open_image(str(path)) as image:
        assert image.kind == "unknown"
        assert image.complaint.startswith(f"{path}: ")
        assert problem in image.complaint
        assert "is needed" in image.complaint
        assert "\n" not in image.complaint


def test_what_is_no_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, problem in [
        (tmp_path, "a directory"),
        (fifo, "a FIFO or socket"),
        (Path("/dev/null"), "a device"),
    ]:
        with open_image(str(path)) as image:
            assert problem in image.complaint


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    for bad, problem in [
        (tmp_path / "missing", "No such file or directory"),
        (path, "No such device or address"),
        (path / "below", "Not a directory"),
    ]:
        with pytest.raises(UsageError, match=problem) as caught:
            open_image(str(bad))
        assert str(caught.value).startswith(f"{bad}: ")


def test_no_descriptor_is_left_behind(path: Path) -> None:
    before = open_descriptors()
    path.write_bytes(program(header={"e_type": 1}).build())
    with pytest.raises(UsageError, match="e_type"):
        open_image(str(path))
    path.write_bytes(program().build())
    with open_image(str(path)):
        pass
    assert open_descriptors() == before


# ---- Symbols ----

SOURCE = """
int counter = 3;
int add(int a, int b);
int add(int a, int b)
{
	return a + b + counter;
}
int main(void)
{
	return add(1, 2);
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(SOURCE, Path(tmp_path_factory.mktemp("symbols")))


def test_symbols_are_those_of_the_symbol_table(compiled: Path) -> None:
    with compiled.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        functions = [
            (symbol["st_value"], symbol["st_size"], symbol.name)
            for symbol in table.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_size"]
        ]
    names_at: dict[int, set[str]] = {}
    for address, _, name in functions:
        names_at.setdefault(address, set()).add(name)
    assert {"main", "add"} <= set().union(*names_at.values())
    with open_image(str(compiled)) as image:
        for address, size, _ in functions:
            assert image.symbolize(address) in names_at[address]
            if size > 1:
                last = image.symbolize(address + size - 1)
                assert last is not None
                name, _, distance = last.partition("+")
                # Another function may begin within this one, in hand-written assembly.
                assert address < names_start(functions, name) + int(distance, 16) + 1
        assert image.symbolize(0) is None
        assert image.symbolize((1 << 64) - 1) is None


def names_start(functions: list[tuple[int, int, str]], name: str) -> int:
    return max(address for address, _, other in functions if other == name)


def test_symbols_outlive_the_file(compiled: Path) -> None:
    with open_image(str(compiled)) as image:
        assert image.elf is not None
        entry = image.elf.entry
        assert image.symbolize(entry) == "_start"
    assert image.symbolize(entry) == "_start"


def test_a_stripped_file_has_no_symbols(path: Path) -> None:
    path.write_bytes(program().build())
    with open_image(str(path)) as image:
        assert image.symbolize(0x40_0010) is None


def test_symbols_of_a_closed_or_broken_file_are_none(compiled: Path, path: Path) -> None:
    with open_image(str(compiled)) as image:
        pass
    assert image.symbolize(0x40_0010) is None
    shutil.copy(compiled, path)
    with path.open("r+b") as file:
        file.seek(0x28)  # e_shoff
        file.write(b"\xff" * 8)
    with open_image(str(path)) as image:
        assert image.symbolize(image.elf.entry if image.elf else 0) is None
