"""The machine code of the shims is what their listings say."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from vmm.backends.unicorn import x86_shims

LISTINGS = ("DELIVER_EXCEPTION", "SYSCALL", "RDTSC", "RDTSCP", "READ_PORT", "WRITE_PORT")


def offset_of(name: str) -> int:
    """Return an offset of 32 bits that differs between names."""
    field, _, extra = name.partition("+")
    return 0x10000 + 0x100 * (sum(field.encode()) % 251) + int(extra or 0)


def address_of(name: str) -> int:
    return 0x7FFF_0000_0000 + 16 * len(name)


class Offsets(dict[str, int]):
    def __missing__(self, name: str) -> int:
        return offset_of(name)


class Addresses(dict[str, int]):
    def __missing__(self, name: str) -> int:
        return address_of(name)


def assemble_text(listing: str, directory: Path) -> bytes:
    """Assemble the right-hand side of ``listing``."""
    lines = [".intel_syntax noprefix"]
    for line in listing.splitlines():
        left, _, right = line.partition(";")
        text = right if right else left
        text = re.sub(r"{(.*?)}", lambda match: hex(offset_of(match[1])), text)
        text = re.sub(r"offset \[(\w+)\]", lambda match: hex(address_of(match[1])), text)
        lines.append(text)
    source = directory / "shim.s"
    source.write_text("\n".join(lines) + "\n")
    target = directory / "shim.o"
    command = ["-m", "ziglang", "cc", "-target", "x86_64-freestanding-none", "-c"]
    subprocess.run([sys.executable, *command, source, "-o", target], check=True)
    section = ELFFile(io.BytesIO(target.read_bytes())).get_section_by_name(".text")
    return bytes(section.data())


@pytest.mark.parametrize("name", LISTINGS)
def test_bytes_and_text_agree(name: str, tmp_path: Path) -> None:
    listing = getattr(x86_shims, name)
    code = x86_shims.assemble(listing, Offsets(), Addresses())
    assert code.hex(" ") == assemble_text(listing, tmp_path).hex(" ")
