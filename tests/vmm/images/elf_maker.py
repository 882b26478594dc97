"""Builds small ELF64 files for tests, field by field."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

PT_LOAD, PT_INTERP, PT_NOTE, PT_TLS = 1, 3, 4, 7
R, W, X = 4, 2, 1
MACHINES = {"x86_64": 62, "arm64": 183}
DIRECT_MAP = {"x86_64": 0xFFFF_9000_0000_0000, "arm64": 0xFFFF_0000_0000_0000}
KERNEL_BASE = {"x86_64": 0x10_0000, "arm64": 0x4008_0000}

HEADER_SIZE = 64
PROGRAM_HEADER_SIZE = 56


@dataclass
class Part:
    """A segment to be: its bytes and its program header."""

    type: int
    flags: int
    virtual: int
    data: bytes = b""
    memory_size: int | None = None
    alignment: int = 0x1000
    physical: int | None = None


@dataclass
class ElfMaker:
    """An ELF file to be; every header field can be overridden to break it."""

    arch: str = "x86_64"
    type: int = 2
    entry: int = 0
    parts: list[Part] = field(default_factory=list)
    header: dict[str, int] = field(default_factory=dict)
    ident: bytes = b"\x7fELF\x02\x01\x01" + bytes(9)

    def build(self) -> bytes:
        count = len(self.parts)
        offset = HEADER_SIZE + count * PROGRAM_HEADER_SIZE
        headers, body = [], bytearray()
        for part in self.parts:
            # Congruent to the address modulo the alignment, as a linker does it.
            position = offset + len(body)
            if 1 < part.alignment <= 0x20_0000:
                body += bytes((part.virtual - position) % part.alignment)
                position = offset + len(body)
            body += part.data
            headers.append(
                struct.pack(
                    "<IIQQQQQQ",
                    part.type,
                    part.flags,
                    position,
                    part.virtual,
                    part.virtual if part.physical is None else part.physical,
                    len(part.data),
                    len(part.data) if part.memory_size is None else part.memory_size,
                    part.alignment,
                )
            )
        fields = {
            "e_type": self.type,
            "e_machine": MACHINES[self.arch],
            "e_version": 1,
            "e_entry": self.entry,
            "e_phoff": HEADER_SIZE,
            "e_shoff": 0,
            "e_flags": 0,
            "e_ehsize": HEADER_SIZE,
            "e_phentsize": PROGRAM_HEADER_SIZE,
            "e_phnum": count,
            "e_shentsize": 0,
            "e_shnum": 0,
            "e_shstrndx": 0,
        } | self.header
        return (
            struct.pack("<16sHHIQQQIHHHHHH", self.ident, *fields.values())
            + b"".join(headers)
            + bytes(body)
        )


def note(name: bytes, kind: int, description: bytes, alignment: int = 4) -> bytes:
    """One entry of a PT_NOTE segment; of 8-byte alignment only with names of 3 letters."""
    name += b"\0"
    return (
        struct.pack("<III", len(name), len(description), kind)
        + name
        + bytes(-len(name) % 4)
        + description
        + bytes(-len(description) % alignment)
    )


def program(arch: str = "x86_64", **changes: object) -> ElfMaker:
    """A static Linux program of one page of code and one of data."""
    maker = ElfMaker(
        arch=arch,
        entry=0x40_0010,
        parts=[
            Part(PT_LOAD, R | X, 0x40_0000, b"\x90" * 0x123),
            Part(PT_LOAD, R | W, 0x40_2000, b"data", memory_size=0x2345),
        ],
    )
    for name, content in changes.items():
        setattr(maker, name, content)
    return maker


def kernel(arch: str = "x86_64", abi_version: int = 1, size: int = 0x3000) -> ElfMaker:
    """A Calypso kernel: text, rodata with the note in it, data with bss."""
    base = KERNEL_BASE[arch]
    direct_map = DIRECT_MAP[arch]
    identity = note(b"Calypso", 1, struct.pack("<I", abi_version))
    rodata = base + (size + 0xFFF & ~0xFFF)
    data = rodata + 0x1000

    def part(kind: int, flags: int, physical: int, content: bytes, **rest: int) -> Part:
        return Part(kind, flags, direct_map + physical, content, physical=physical, **rest)

    return ElfMaker(
        arch=arch,
        entry=direct_map + base,
        parts=[
            part(PT_LOAD, R | X, base, b"\xf4" * size),
            part(PT_LOAD, R, rodata, b"constants"),
            part(PT_LOAD, R | W, data, b"variables", memory_size=0x5000),
            part(PT_NOTE, R, rodata, identity, alignment=4),
        ],
    )
