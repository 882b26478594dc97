"""Linux's images and those that look like them, for both architectures, compressed ones too."""

from __future__ import annotations

import gzip
import lzma
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.foreign import images
from tests.vmm.images.elf_maker import PT_LOAD, PT_NOTE, ElfMaker, Part, R, W, X, note, program
from vmm.errors import UsageError
from vmm.images import compressed
from vmm.images.compressed import MAX_UNPACKED
from vmm.images.recognise import open_image

UPPER = 0xFFFF_FFFF_8000_0000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image"


def describe(path: Path, content: bytes) -> dict[str, object]:
    path.write_bytes(content)
    with open_image(str(path)) as image:
        return image.describe()


def vmlinux(*notes: bytes) -> bytes:
    """As Linux's: by physical address ascending, by virtual address not."""
    parts = [
        Part(PT_LOAD, R | X, UPPER + 0x100_0000, b"\xf4" * 64, physical=0x100_0000),
        Part(PT_LOAD, R | W, 0, b"percpu", physical=0x120_0000),
        Part(PT_LOAD, R | W, UPPER + 0x140_0000, b"data", 0x2000, physical=0x140_0000),
    ]
    if notes:
        parts.append(Part(PT_NOTE, R, 0, b"".join(notes), alignment=4))
    return ElfMaker(entry=0x100_0000, parts=parts).build()


def test_vmlinux_by_its_entry_or_by_its_note(path: Path) -> None:
    facts = describe(path, vmlinux())
    assert facts["kind"] == "linux-boot-kernel"
    assert facts["boot_protocol"] == "Linux 64-bit boot"
    assert facts["memory_minimum"] == 0x140_2000
    facts = describe(path, vmlinux(note(b"Xen", 18, struct.pack("<Q", 0x100_0010))))
    assert facts["kind"] == "pvh-kernel"
    assert facts["pvh_entry"] == 0x100_0010


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (b"\0\0", "has 2 bytes, not 4 or 8"),
        (struct.pack("<I", 0x10_0000), "PVH entry 0x100000 is not inside a segment"),
    ],
)
def test_malformed_pvh_notes(path: Path, entry: bytes, problem: str) -> None:
    path.write_bytes(vmlinux(note(b"Xen", 18, entry)))
    with pytest.raises(UsageError, match=problem):
        open_image(str(path))


def test_a_static_elf_where_kernels_are_is_one_unless_it_has_libcs_note(path: Path) -> None:
    maker = images.linux_elf_maker(b"\xf4" * 16)
    assert describe(path, maker.build())["kind"] == "linux-boot-kernel"
    maker.parts.append(Part(PT_NOTE, R, 0, note(b"GNU", 1, bytes(16)), alignment=4))
    assert describe(path, maker.build())["kind"] == "linux-program"


def test_programs_are_programs(path: Path, arch: str) -> None:
    assert describe(path, program(arch).build())["kind"] == "linux-program"


def test_a_fixed_elf_expects_qemus_board(path: Path) -> None:
    facts = describe(path, images.fixed_elf(bytes(16)))
    assert facts["kind"] == "bare-metal-elf"
    assert facts["board"] == "virt,gic=2"
    assert facts["memory_minimum"] == 0x10_2000


def test_a_fixed_elf_begins_in_its_code(path: Path) -> None:
    maker = ElfMaker(
        arch="arm64", entry=0x4000_0000, parts=[Part(PT_LOAD, R | X, 0x4010_0000, b"code")]
    )
    path.write_bytes(maker.build())
    with pytest.raises(UsageError, match="e_entry 0x40000000 is not inside"):
        open_image(str(path))


# ---- bzImage ----


def test_what_is_known_about_a_bzimage(path: Path) -> None:
    facts = describe(path, images.bzimage(b"\xf4" * 32))
    assert facts["boot_protocol"] == "Linux 64-bit boot"
    assert facts["boot_version"] == "2.15"
    assert facts["loaded_at"] == 0x100_0000
    assert facts["memory_minimum"] == 0x110_0000
    assert facts["command_line_limit"] == 255
    facts = describe(path, images.bzimage(b"\xf4" * 32, xloadflags=0))
    assert facts["boot_protocol"] == "Linux 32-bit boot"
    facts = describe(path, images.bzimage(b"\xf4" * 32, version=0x204))
    assert facts["loaded_at"] == 0x10_0000


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"boot_flag": 0}, "boot_flag is 0x0, not 0xaa55"),
        ({"version": 0x201}, "version 0x201 of the boot protocol is older"),
        ({"loadflags": 0}, "LOADED_HIGH is 0"),
        ({"jump": 0x10EB}, "jump: the setup header ends at 0x212"),
        ({"setup_sects": 20}, "setup_sects: the kernel would begin at 0x2a00"),
        ({"pref_address": 0x1000}, "pref_address 0x1000 is below 1 MiB"),
        ({"pref_address": 1 << 63}, "beyond 4 GiB"),
        ({"init_size": 0xFFFF_FFFF}, "init_size 0xffffffff reaches beyond 4 GiB"),
    ],
)
def test_malformed_bzimages(path: Path, changes: dict[str, int], problem: str) -> None:
    path.write_bytes(images.bzimage(b"\xf4", **changes))
    with pytest.raises(UsageError, match=problem):
        open_image(str(path))


def test_a_bzimage_cut_off(path: Path) -> None:
    path.write_bytes(images.bzimage(b"\xf4")[:0x230])
    with pytest.raises(UsageError, match="truncated: the setup header"):
        open_image(str(path))


# ---- Image ----


def test_what_is_known_about_an_image(path: Path) -> None:
    facts = describe(path, images.arm64_image(bytes(64)))
    assert facts["kind"] == "linux-arm64-image"
    assert facts["memory_minimum"] == 0x20_0000
    assert "board" not in facts
    # Before image_size, Linux was always here.
    facts = describe(path, images.arm64_image(bytes(64), image_size=0))
    assert facts["text_offset"] == 0x8_0000


def test_images_that_are_linked_to_a_board(path: Path) -> None:
    facts = describe(path, images.arm64_linked(bytes(64)))
    assert (facts["linked_for_ram_at"], facts["board"]) == (0x4000_0000, "virt,gic=2")
    facts = describe(path, images.arm64_firecracker(bytes(64)))
    assert (facts["linked_for_ram_at"], facts["board"]) == (0x8000_0000, "firecracker,gic=3")
    facts = describe(path, images.arm64_image(bytes(4096), text_offset=0x8_0000))
    assert facts["linked_for_ram_at"] is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"flags": 0xB}, "flags: bit 0 says that the kernel is big-endian"),
        ({"text_offset": 0x20_0000}, "text_offset 0x200000 is not below 2 MiB"),
        ({"image_size": 1 << 40}, "image_size 0x10000000000"),
    ],
)
def test_malformed_images(path: Path, changes: dict[str, int], problem: str) -> None:
    path.write_bytes(images.arm64_image(bytes(64), **changes))
    with pytest.raises(UsageError, match=problem):
        open_image(str(path))


def test_an_image_cut_off(path: Path) -> None:
    path.write_bytes(images.arm64_image(b"")[:62])
    with pytest.raises(UsageError, match="truncated: the Image header"):
        open_image(str(path))


# ---- Compressed ----


def zstd(content: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("the host has no zstd command")
    return subprocess.run(["zstd", "-qc"], input=content, capture_output=True, check=True).stdout


def zboot(method: bytes, payload: bytes) -> bytes:
    head = struct.pack("<2s2x4sII8x32s", b"MZ", b"zimg", 64, len(payload), method)
    return head.ljust(64, b"\0") + payload


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstd])
def test_compressed_kernels(path: Path, pack: object) -> None:
    assert callable(pack)
    facts = describe(path, pack(images.arm64_image(bytes(64))))
    assert facts["kind"] == "linux-arm64-image"
    assert facts["path"] == str(path)
    facts = describe(path, pack(images.multiboot(b"\xf4")))
    assert facts["kind"] == "multiboot-kernel"


def test_kernels_in_an_efi_image_that_unpacks_itself(path: Path) -> None:
    image = images.arm64_image(bytes(64))
    assert describe(path, zboot(b"gzip", gzip.compress(image)))["kind"] == "linux-arm64-image"
    assert describe(path, zboot(b"xzkern", lzma.compress(image)))["kind"] == "linux-arm64-image"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(gzip.compress(images.arm64_image(bytes(64)))[:-12], "gzip: trun", id="cut"),
        pytest.param(b"\x1f\x8b\x08" + bytes(40), "gzip: ", id="damaged"),
        pytest.param(zboot(b"lzo", b"payload"), "method 'lzo', which is unknown", id="method"),
        pytest.param(zboot(b"gzip", b"")[:40], "truncated: the zboot header", id="zboot"),
        pytest.param(
            gzip.compress(images.arm64_image(bytes(64), flags=1)), "flags: bit 0", id="inside"
        ),
        pytest.param(gzip.compress(bytes(MAX_UNPACKED + 1), 1), "more than 512 MiB", id="bomb"),
    ],
)
def test_damaged_compressed_kernels(path: Path, content: bytes, problem: str) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError, match=problem) as caught:
        open_image(str(path))
    assert str(caught.value).startswith(f"{path}: ")


def test_what_zstd_would_go_on_to_unpack_is_cut_off(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "MAX_UNPACKED", 8 << 20)
    path.write_bytes(zstd(bytes(8 << 20)))
    with pytest.raises(UsageError, match="more than 8 MiB"):
        open_image(str(path))
    path.write_bytes(zstd(bytes(1 << 19))[:-3])
    with pytest.raises(UsageError, match=r"zstd: .*(end|eof|EOF)"):
        open_image(str(path))


def test_what_was_compressed_twice_stays_unknown(path: Path) -> None:
    content = gzip.compress(gzip.compress(images.arm64_image(bytes(64))))
    assert describe(path, content)["kind"] == "unknown"
