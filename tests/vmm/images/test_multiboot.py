"""Multiboot kernels: where a header may be, what it may say, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.foreign import images
from tests.foreign.images import CODE, KERNEL, elf32, multiboot2_header, multiboot_header
from tests.vmm.images.elf_maker import PT_LOAD, ElfMaker, Part, R, X
from vmm.errors import UsageError
from vmm.images.recognise import open_image

ENTRY = CODE["multiboot"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image"


def kind_of(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with open_image(str(path)) as image:
        return image.kind


def wrap(header: bytes, offset: int = 0) -> bytes:
    """An ELF32 file whose segment, at 0x1000 in the file, has a header at ``offset``."""
    return elf32(KERNEL, bytes(offset) + header + bytes(0x100), KERNEL)


def test_elf32_elf64_and_flat_kernels(path: Path) -> None:
    assert kind_of(path, images.multiboot(b"\xf4")) == "multiboot-kernel"
    assert kind_of(path, images.multiboot_flat(b"\xf4")) == "multiboot-kernel"
    content = multiboot_header() + b"\xf4"
    maker = ElfMaker(entry=0x40_000C, parts=[Part(PT_LOAD, R | X, 0x40_0000, content)])
    maker.parts[0].alignment = 1
    assert kind_of(path, maker.build()) == "multiboot-kernel"
    assert kind_of(path, images.multiboot2(b"\xf4")) == "multiboot2-kernel"


def test_what_is_known_about_one(path: Path) -> None:
    path.write_bytes(images.multiboot(b"\xf4" * 16))
    with open_image(str(path)) as image:
        facts = image.describe()
    assert facts["architecture"] == "x86_64"
    assert facts["boot_protocol"] == "Multiboot 1"
    assert facts["multiboot_header"] == 0x1000
    assert facts["multiboot_flags"] == 3
    assert facts["entry"] == ENTRY
    assert facts["loaded"] == [{"physical": KERNEL, "file_size": 0x50, "memory_size": 0x1050}]


@pytest.mark.parametrize(
    ("offset", "found"),
    [(0, True), (4, True), (2, False), (8192 - 0x1000 - 12, True), (8192 - 0x1000 - 8, False)],
)
def test_the_header_is_aligned_and_in_the_first_8_kib(path: Path, offset: int, found: bool) -> None:
    kind = kind_of(path, wrap(multiboot_header(), offset))
    assert kind == ("multiboot-kernel" if found else "unknown")


def test_a_wrong_checksum_is_no_header(path: Path) -> None:
    header = struct.pack("<3I", 0x1BAD_B002, 3, 0)
    assert kind_of(path, wrap(header)) == "unknown"
    # A broken one does not hide a good one behind it.
    assert kind_of(path, wrap(header + multiboot_header())) == "multiboot-kernel"


def elf(**changes: int) -> bytes:
    """An ELF32 file that begins with a header, and is loaded at `KERNEL`."""
    return elf32(KERNEL, multiboot_header().ljust(64, b"\0"), KERNEL, **changes)


def flat(flags: int = 0x1_0000, **changes: int) -> bytes:
    fields = {
        "header": KERNEL,
        "load": KERNEL,
        "load_end": KERNEL + 0x100,
        "bss_end": KERNEL + 0x200,
        "entry": ENTRY,
    } | changes
    return multiboot_header(flags, *fields.values()).ljust(0x100, b"\0")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(wrap(multiboot_header(1 << 3)), "flags 0x8 .* unknown features", id="flags"),
        pytest.param(multiboot_header(3).ljust(64, b"\0"), "bit 16 .* is 0", id="nowhere"),
        pytest.param(multiboot_header(0x1_0000), "truncated: the address fields", id="cut"),
        pytest.param(flat(load=KERNEL + 1), "load_addr 0x100001 is above header_addr", id="load"),
        pytest.param(flat(load=KERNEL - 1), "load_addr 0xfffff is before the start", id="before"),
        pytest.param(flat(load_end=KERNEL + 0x101), "load_end_addr 0x100101 is behind", id="end"),
        pytest.param(flat(load_end=KERNEL - 1), "load_end_addr 0xfffff is below", id="negative"),
        pytest.param(flat(bss_end=KERNEL + 0x80), "bss_end_addr 0x100080 is below", id="bss"),
        pytest.param(flat(entry=KERNEL + 0x200), "entry_addr 0x100200 is outside", id="entry"),
        pytest.param(
            elf32(KERNEL, multiboot_header().ljust(64, b"\0"), KERNEL - 1),
            "e_entry 0xfffff is not inside a segment",
            id="elf-entry",
        ),
        pytest.param(elf(e_machine=40), "e_machine 40", id="machine"),
        pytest.param(elf(e_type=3), "e_type 3", id="type"),
        pytest.param(elf(e_phentsize=56), "e_phentsize is 56", id="phentsize"),
        pytest.param(elf(e_phnum=0), "e_phnum 0", id="phnum"),
        pytest.param(elf(e_phoff=1 << 20), r"e_phoff", id="phoff"),
        pytest.param(elf(memory_size=8), "p_filesz 0x40 is more than p_memsz 0x8", id="memsz"),
        pytest.param(
            elf32(0xFFFF_F000, multiboot_header().ljust(64, b"\0"), 0xFFFF_F000, 0x2000),
            "beyond 4 GiB",
            id="4gib",
        ),
        pytest.param(
            wrap(multiboot2_header(struct.pack("<HHI", 77, 0, 8))), "type 77 is unknown", id="tag"
        ),
        pytest.param(
            wrap(multiboot2_header(struct.pack("<HHI", 77, 0, 4))), "size 4 of the", id="tag-size"
        ),
        pytest.param(
            wrap(multiboot2_header(closed=False)), "do not end with one of type 0", id="no-end"
        ),
        pytest.param(multiboot2_header().ljust(64, b"\0"), "has no address tag", id="nowhere-2"),
        pytest.param(
            multiboot2_header(struct.pack("<HHI4I", 2, 0, 24, KERNEL, KERNEL, 0, 0)),
            "no entry tag",
            id="no-entry-2",
        ),
        pytest.param(
            wrap(multiboot2_header(struct.pack("<HHI", 3, 0, 8))), "type 3 is too short", id="short"
        ),
    ],
)
def test_malformed_kernels(path: Path, content: bytes, problem: str) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError, match=problem) as caught:
        open_image(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_optional_tags_are_passed_over(path: Path) -> None:
    tag = struct.pack("<HHI", 77, 1, 8)
    assert kind_of(path, wrap(multiboot2_header(tag))) == "multiboot2-kernel"


def test_the_entry_tag_wins(path: Path) -> None:
    tag = struct.pack("<HHII", 3, 0, 12, 0x12_3456)
    path.write_bytes(wrap(multiboot2_header(tag)))
    with open_image(str(path)) as image:
        assert image.describe()["entry"] == 0x12_3456


def test_flat_multiboot_2_kernels(path: Path) -> None:
    address = struct.pack("<HHI4I", 2, 0, 24, KERNEL, KERNEL, KERNEL + 0x50, KERNEL + 0x90)
    entry = struct.pack("<HHII", 3, 0, 12, KERNEL + 0x48)
    path.write_bytes(multiboot2_header(address, entry).ljust(0x60, b"\0"))
    with open_image(str(path)) as image:
        facts = image.describe()
    assert facts["loaded"] == [{"physical": KERNEL, "file_size": 0x50, "memory_size": 0x90}]
