"""Compiles C programs that include the guest's headers, and runs them on this host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ABI_HEADER = ROOT / "guest/include/calypso/abi.h"


def compile_c(source: str, folder: Path) -> Path:
    """Compile ``source`` with the guest's compiler and warnings; return the program's path."""
    code = folder / "program.c"
    program = folder / "program"
    code.write_text(source)
    compiler = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        f"{os.uname().machine}-linux-musl",
    ]
    flags = ["-static", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'guest/include'}"]
    subprocess.run([*compiler, *flags, code, "-o", program], check=True)
    return program


def run_c(program: Path, data: bytes = b"") -> list[list[str]]:
    """Run ``program`` with ``data`` on its standard input; return its output's words by line."""
    result = subprocess.run([program], input=data, capture_output=True, check=True)
    return [line.split() for line in result.stdout.decode().splitlines()]
