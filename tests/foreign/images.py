"""Small kernels of our own in the forms that other projects build, around any code.

Each function returns the bytes of an image. The code is linked to where ``CODE`` says that the
form puts it.
"""

from __future__ import annotations

import struct

from tests.vmm.images.elf_maker import PT_LOAD, PT_NOTE, ElfMaker, Part, R, W, X, note

# Where the code begins, by form.
CODE = {
    "multiboot": 0x10_0040,
    "multiboot-flat": 0x10_0040,
    "multiboot2": 0x10_0040,
    "linux-elf": 0x10_0000,
    "pvh": 0x20_0000,
    "bzimage": 0x100_0200,
    "fixed-elf": 0x4010_0000,
    "arm64-image": 0x4000_0040,
    "arm64-linked": 0x4010_0000,
    "arm64-firecracker": 0x8010_0000,
}

X86_FORMS = ("multiboot", "multiboot-flat", "multiboot2", "linux-elf", "pvh", "bzimage")
ARM64_FORMS = ("fixed-elf", "arm64-image", "arm64-linked", "arm64-firecracker")

KERNEL = 0x10_0000
BSS = 0x1000
# A text_offset such that the code behind the header is at the next 64 KiB boundary.
LINKED_OFFSET = 0xF_FFC0


def build(form: str, code: bytes) -> bytes:
    """Return the image of ``form`` around ``code``."""
    return _BUILDERS[form](code)


def elf32(address: int, content: bytes, entry: int, memory_size: int = 0, **header: int) -> bytes:
    """An ELF32 file for i386 of one segment."""
    fields = {
        "e_type": 2,
        "e_machine": 3,
        "e_version": 1,
        "e_entry": entry,
        "e_phoff": 52,
        "e_shoff": 0,
        "e_flags": 0,
        "e_ehsize": 52,
        "e_phentsize": 32,
        "e_phnum": 1,
        "e_shentsize": 0,
        "e_shnum": 0,
        "e_shstrndx": 0,
    } | header
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    size = len(content)
    segment = (1, 0x1000, address, address, size, memory_size or size + BSS, 7, 0x1000)
    head = struct.pack("<16sHHIIIIIHHHHHH", ident, *fields.values()) + struct.pack("<8I", *segment)
    return head.ljust(0x1000, b"\0") + content


def multiboot_header(flags: int = 3, *addresses: int) -> bytes:
    """A multiboot 1 header."""
    magic = 0x1BAD_B002
    return struct.pack(
        f"<{3 + len(addresses)}I", magic, flags, -(magic + flags) & 0xFFFF_FFFF, *addresses
    )


def multiboot2_header(*tags: bytes, architecture: int = 0, closed: bool = True) -> bytes:
    """A multiboot 2 header of ``tags``."""
    body = b"".join(tag + bytes(-len(tag) % 8) for tag in tags)
    body += struct.pack("<HHI", 0, 0, 8) if closed else b""
    length = 16 + len(body)
    magic = 0xE852_50D6
    total = magic + architecture + length
    return struct.pack("<4I", magic, architecture, length, -total & 0xFFFF_FFFF) + body


def multiboot(code: bytes) -> bytes:
    """An ELF32 wrapper with a multiboot 1 header."""
    return elf32(KERNEL, multiboot_header().ljust(0x40, b"\0") + code, CODE["multiboot"])


def multiboot_flat(code: bytes) -> bytes:
    """No ELF: the header says where everything goes."""
    end = CODE["multiboot-flat"] + len(code)
    addresses = (KERNEL, KERNEL, end, end + BSS, CODE["multiboot-flat"])
    return multiboot_header(0x1_0003, *addresses).ljust(0x40, b"\0") + code


def multiboot2(code: bytes) -> bytes:
    """An ELF32 file with a multiboot 2 header."""
    return elf32(KERNEL, multiboot2_header().ljust(0x40, b"\0") + code, CODE["multiboot2"])


def linux_elf(code: bytes) -> bytes:
    """An ELF64 kernel at 1 MiB, as Firecracker boots them."""
    return linux_elf_maker(code).build()


def linux_elf_maker(code: bytes) -> ElfMaker:
    """What `linux_elf` builds, to be changed."""
    parts = [Part(PT_LOAD, R | W | X, KERNEL, code, memory_size=len(code) + BSS)]
    return ElfMaker(entry=CODE["linux-elf"], parts=parts)


def pvh(code: bytes, entry: bytes | None = None) -> bytes:
    """An ELF64 kernel in the upper half with a PVH note."""
    base = CODE["pvh"]
    upper = 0xFFFF_FFFF_8000_0000
    content = struct.pack("<I", base) if entry is None else entry
    return ElfMaker(
        entry=upper + base,
        parts=[
            Part(PT_LOAD, R | W | X, upper + base, code, len(code) + BSS, physical=base),
            Part(PT_NOTE, R, 0, note(b"Xen", 18, content), alignment=4),
        ],
    ).build()


def bzimage(code: bytes, **changes: int) -> bytes:
    """A bzImage of protocol 2.15 with a 64-bit entry; ``changes`` are to its setup header."""
    fields = {
        "setup_sects": (0x1F1, "B", 1),
        "boot_flag": (0x1FE, "H", 0xAA55),
        "jump": (0x200, "H", 0x66EB),
        "header": (0x202, "I", 0x5372_6448),
        "version": (0x206, "H", 0x20F),
        "loadflags": (0x211, "B", 1),
        "initrd_addr_max": (0x22C, "I", 0x7FFF_FFFF),
        "xloadflags": (0x236, "H", 1),
        "cmdline_size": (0x238, "I", 255),
        "pref_address": (0x258, "Q", CODE["bzimage"] - 0x200),
        "init_size": (0x260, "I", 0x10_0000),
    }
    head = bytearray(0x400)
    for name, (offset, kind, number) in fields.items():
        struct.pack_into(f"<{kind}", head, offset, changes.get(name, number))
    return bytes(head) + bytes(0x200) + code


def fixed_elf(code: bytes) -> bytes:
    """An arm64 ELF file linked to 1 MiB into the RAM of QEMU's board."""
    base = CODE["fixed-elf"]
    return ElfMaker(
        arch="arm64",
        entry=base,
        parts=[Part(PT_LOAD, R | W | X, base, code, memory_size=len(code) + BSS)],
    ).build()


def arm64_image(code: bytes, **changes: int) -> bytes:
    """An Image as Linux's; ``changes`` are to its header."""
    fields = {
        "code0": 0x1400_0010,  # b . + 64
        "code1": 0,
        "text_offset": 0,
        "image_size": 0x20_0000,
        "flags": 0xA,
        "res2": 0,
        "res3": 0,
        "res4": 0,
        "magic": 0x644D_5241,
        "res5": 0,
    } | changes
    return struct.pack("<2I6Q2I", *fields.values()) + code


def arm64_linked(code: bytes) -> bytes:
    """An Image that holds pointers to itself in the RAM of QEMU's board."""
    return _linked(code, CODE["arm64-linked"])


def arm64_firecracker(code: bytes) -> bytes:
    """An Image that holds pointers to itself in the RAM of Firecracker's board."""
    return _linked(code, CODE["arm64-firecracker"])


def _linked(code: bytes, base: int) -> bytes:
    pointers = struct.pack("<16Q", *range(base, base + 0x100, 0x10))
    return arm64_image(code + bytes(-len(code) % 8) + pointers, text_offset=LINKED_OFFSET)


_BUILDERS = {
    "multiboot": multiboot,
    "multiboot-flat": multiboot_flat,
    "multiboot2": multiboot2,
    "linux-elf": linux_elf,
    "pvh": pvh,
    "bzimage": bzimage,
    "fixed-elf": fixed_elf,
    "arm64-image": arm64_image,
    "arm64-linked": arm64_linked,
    "arm64-firecracker": arm64_firecracker,
}
