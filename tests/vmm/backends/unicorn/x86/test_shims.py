"""The machine code of the shims is what their listings say."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from elftools.elf.elffile import ELFFile

from vmm.backends.unicorn.x86 import shims_aarch64, shims_x86_64
from vmm.backends.unicorn.x86.shims import OFFSETS, assemble

NAMES = ("DELIVER_EXCEPTION", "SYSCALL", "RDTSC", "RDTSCP", "CPUID", "READ_PORT", "WRITE_PORT")


def distinct_words(listing: str) -> dict[str, int]:
    """Return a different 64-bit word for each name."""
    names = re.findall(r"\[(\w+_\w+|cpu)\]", listing)
    return {name: 0x7FFF_0000_0000 + number for number, name in enumerate(names)}


def assemble_text(
    listing: str, target: str, offsets: dict[str, int], words: dict[str, int], work: Path
) -> bytes:
    """Assemble the right-hand side of ``listing``."""

    def offset(match: re.Match[str]) -> str:
        field, _, extra = match[1].partition("+")
        return str(offsets[field] + int(extra or 0))

    lines = [".intel_syntax noprefix"] if target == "x86_64" else []
    for line in listing.splitlines():
        left, _, right = line.partition(";")
        text = re.sub(r"{(.*?)}", offset, right or left)
        lines.append(re.sub(r"(?:offset )?\[(\w+_\w+|cpu)\]", lambda m: str(words[m[1]]), text))
    (work / "shim.s").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{target}-freestanding-none"]
    subprocess.run([*command, "-c", work / "shim.s", "-o", work / "shim.o"], check=True)
    elf = ELFFile(io.BytesIO((work / "shim.o").read_bytes()))
    return bytes(elf.get_section_by_name(".text").data())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("target", "listings"), [("x86_64", shims_x86_64), ("aarch64", shims_aarch64)]
)
def test_bytes_and_text_agree(name: str, target: str, listings: ModuleType, tmp_path: Path) -> None:
    listing = getattr(listings, name)
    words = distinct_words(listing)
    # On x86_64 the assembler would choose shorter instructions for small offsets.
    distance = 0x10000 if target == "x86_64" else 0
    offsets = {field: offset + distance for field, offset in {**OFFSETS, "cpu": 0}.items()}
    code = assemble(listing, offsets, words)
    assert code.hex(" ") == assemble_text(listing, target, offsets, words, tmp_path).hex(" ")
