"""Assembles short guest programs for tests, with the C compiler that the project builds with.

A result is kept in the cache by its source, so that each program is assembled once, and where
there is no compiler (in the KVM lab) the host's results are found.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from scripts.debian import cache_directory

_TARGETS = {
    "arm64": ["-target", "aarch64-freestanding-none", "-mcpu=generic+v8_5a+rand+sve"],
    "x86_64": ["-target", "x86_64-freestanding-none"],
}

_SCRIPT = "SECTIONS {{ . = {base:#x}; .all : {{ *(.text*) *(.rodata*) *(.data*) *(.bss*) }} }}\n"


@dataclass(frozen=True)
class Program:
    """An assembled program.

    Attributes:
        base: the address that it is linked for.
        code: its bytes, from ``base`` on.
        symbols: its labels.
    """

    base: int
    code: bytes
    symbols: dict[str, int]


def assemble(arch: str, source: str, base: int) -> Program:
    """Assemble ``source`` (GNU syntax; ``.intel_syntax noprefix`` on x86_64) to run at ``base``."""
    if arch == "x86_64":
        source = f".intel_syntax noprefix\n{source}"
    source = f".text\n{source}\n"
    key = hashlib.sha256(f"{arch} {_TARGETS[arch]} {base:#x} {_SCRIPT}\n{source}".encode())
    cached = _cache() / f"{key.hexdigest()}.json"
    if not cached.exists():
        _store(cached, _build(arch, source, base))
    content = json.loads(cached.read_text())
    return Program(base, bytes.fromhex(content["code"]), content["symbols"])


def _cache() -> Path:
    path = cache_directory() / "snippets"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _store(path: Path, program: Program) -> None:
    """Write atomically: tests may run in several processes."""
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"code": program.code.hex(), "symbols": program.symbols}))
    draft.replace(path)


def _build(arch: str, source: str, base: int) -> Program:
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        (work / "a.S").write_text(source)
        (work / "a.ld").write_text(_SCRIPT.format(base=base))
        command = [sys.executable, "-m", "ziglang", "cc", *_TARGETS[arch], "-nostdlib", "-static"]
        command += ["-Wl,-e,0"]
        subprocess.run(
            [*command, f"-Wl,-T,{work}/a.ld", "-o", f"{work}/a.elf", f"{work}/a.S"],
            check=True,
            cwd=work,
        )
        with open(work / "a.elf", "rb") as file:
            elf = ELFFile(file)
            symbols = {}
            for section in elf.iter_sections():
                if isinstance(section, SymbolTableSection):
                    symbols |= {s.name: s["st_value"] for s in section.iter_symbols() if s.name}
            (section,) = (s for s in elf.iter_sections() if s.name == ".all")
            return Program(base, section.data(), symbols)
