"""Small C programs: what each prints in the guest is what it prints on the host's Linux."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from guest.build import ROOT
from tests.soundness import need_sound_kvm
from vmm import Machine
from vmm.arch import X86_64, host_arch

PROGRAMS = Path(__file__).parent / "programs"
SOURCES = sorted(PROGRAMS.glob("*.c"))
SHARED = sorted(PROGRAMS.glob("*.h"))
TARGETS = {"x86_64": "x86_64-linux-musl", "arm64": "aarch64-linux-musl"}
KINDS = {"static": ("-static",), "static-pie": ("-static-pie", "-fPIE")}

ARGUMENTS = ["one", "two words", ""]
ENVIRONMENT = {"GREETING": "hello there", "EMPTY": ""}
STDIN = b"first line\nsecond\n\nwithout an end"

# What only positions itself in memory anew needs each kind of file; the rest needs one.
PIE = {"start", "storage"}
CASES = [
    pytest.param(source, kind, id=f"{source.stem}-{kind}")
    for source in SOURCES
    for kind in KINDS
    if kind == "static" or source.stem in PIE
]


# Hundreds of threads, faults or interrupts, each of which costs a thousand instructions of the
# kernel.
LONG = {"threads", "interrupted"}

# What becomes another user.
OF_SUPERUSER = {"capabilities", "credentials", "identities", "permissions"}

# What is killed in the end by what it tests; no other program may be, with half of it not seen.
KILLED = {"preemption", "signals"}

# What compares clocks.
STEADY = {"interrupted"}


@cache
def build(source: Path, arch: str, kind: str) -> Path:
    """Compile a program for Linux where it is not compiled yet.

    In the KVM lab there is no compiler, and what the host compiled is found.
    """
    flags = [*KINDS[kind], "-O1", "-std=gnu11", "-fno-sanitize=all", "-w", "-lm"]
    arguments = ["-m", "ziglang", "cc", "-target", TARGETS[arch], *flags]
    content = [path.read_bytes() for path in (*SHARED, source)]
    digest = hashlib.sha256(b"\0".join(["\0".join(arguments).encode(), *content])).hexdigest()
    program = ROOT / "build/guest-tests" / f"{source.stem}-{arch}-{digest[:16]}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        temporary = program.with_suffix(f".{os.getpid()}")
        command = [sys.executable, *arguments, str(source), "-o", str(temporary)]
        # The first one compiles the C library too: minutes on a busy host.
        subprocess.run(command, check=True, timeout=900)
        temporary.replace(program)
    return program


def run_on_host(program: Path) -> tuple[int, bytes]:
    """Run in an empty directory of a tmpfs; exit status as a shell tells it, and output."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        result = subprocess.run(
            [program, *ARGUMENTS],
            env=ENVIRONMENT,
            input=STDIN,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            umask=0o022,
            check=False,
        )
    status = result.returncode
    return status if status >= 0 else 128 - status, result.stdout


def run_in_guest(program: Path, arch: str, backend: str, board: str = "") -> tuple[int, bytes]:
    with Machine(
        program,
        ARGUMENTS,
        arch=arch,
        backend=backend,
        board=board,
        env=ENVIRONMENT,
        stdin=STDIN,
    ) as machine:
        return machine.run(timeout=60), machine.console.output


# The oldest Linux that is known to give way to readers while a splice waits.
NEW_LINUX = (6, 18)
OF_NEW_LINUX = ("splice_waits",)


def linux_version() -> tuple[int, int]:
    """Return the first two numbers of this host's release."""
    major, minor, *_ = os.uname().release.replace("-", ".").split(".")
    return int(major), int(minor)


@pytest.mark.parametrize(("source", "kind"), CASES)
def test_like_on_the_host(source: Path, kind: str, arch: str, backend: str) -> None:
    if backend == "kvm" and source.stem in LONG:
        need_sound_kvm()
    if source.stem in OF_SUPERUSER and os.geteuid() != 0:
        pytest.skip("needs the rights of the superuser, who may become another user")
    if source.stem in OF_NEW_LINUX and linux_version() < NEW_LINUX:
        pytest.skip("needs a newer Linux to compare with: 6.1 waits for ever in this splice")
    if backend == "kvm" and source.stem in STEADY and "CALYPSO_LAB" in os.environ:
        pytest.skip("needs a processor that is not emulated itself: its clocks jump")
    expected = run_on_host(build(source, host_arch() or X86_64, kind))
    assert expected[0] < 128 or source.stem in KILLED or source.stem.startswith("fault_")
    status, output = run_in_guest(build(source, arch, kind), arch, backend)
    assert output.decode().splitlines() == expected[1].decode().splitlines()
    assert status == expected[0]


@pytest.mark.parametrize("board", ["gic=2", "gic=2,devices=0x10000000000"])
def test_an_older_gic_ends_turns_too(board: str) -> None:
    source = PROGRAMS / "preemption.c"
    expected = run_on_host(build(source, host_arch() or X86_64, "static"))
    assert run_in_guest(build(source, "arm64", "static"), "arm64", "unicorn", board) == expected
