"""Numbers of system calls, beside those that the compiler's Linux headers have."""

from __future__ import annotations

import re
from pathlib import Path

import ziglang

from vmm.service.numbers import syscall_numbers

INCLUDE = Path(ziglang.__file__).parent / "lib/libc/include"
HEADERS = {
    "x86_64": INCLUDE / "x86-linux-any/asm/unistd_64.h",
    "arm64": INCLUDE / "aarch64-linux-any/asm/unistd_64.h",
}
GENERIC = INCLUDE / "any-linux-any/asm-generic/unistd.h"


def test_they_are_those_of_linux(arch: str) -> None:
    header = HEADERS[arch] if HEADERS[arch].exists() else GENERIC
    defined = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", header.read_text(), re.M)
    linux = {name: int(number) for name, number in defined}
    ours = syscall_numbers(arch)
    assert len(ours) > 250
    named_otherwise = {"fadvise64", "newfstatat", "sendfile", "truncate", "ftruncate", "lseek"}
    wrong = {
        name: (number, linux.get(name))
        for name, number in ours.items()
        if name not in named_otherwise and number != linux.get(name, number)
    }
    assert not wrong
    assert len(set(ours) & set(linux)) > 250


def test_names_that_only_one_architecture_has() -> None:
    assert "open" in syscall_numbers("x86_64")
    assert "open" not in syscall_numbers("arm64")
    assert len(set(syscall_numbers("arm64").values())) == len(syscall_numbers("arm64"))
