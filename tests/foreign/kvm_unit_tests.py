"""Runs kvm-unit-tests that were built beside the project, and judges them by their exit codes.

    python -m tests.foreign.kvm_unit_tests KVM-UNIT-TESTS/arm [--backend unicorn] [NAME...]
    python -m tests.foreign.kvm_unit_tests KVM-UNIT-TESTS/x86

On arm64 the flat images get a header of Linux's Image in front, whose loader then puts them where
`qemu -kernel` does; a test prints its status before it switches off. On x86 they are multiboot
kernels that end by the debug-exit port; what they would ask QEMU's configuration device, they are
told by an initrd. Status 1 is a pass and 77 says that all was skipped.
"""

from __future__ import annotations

import argparse
import re
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vmm.errors import UsageError
from vmm.machine.machine import GuestTimeout, Machine

SKIPPED = 77
MEMORY_MIB = 256
ENTRY = 0x8_0000
HEADER = 64


@dataclass(frozen=True)
class Case:
    """One test: its image, arguments, number of processors, and board."""

    image: str
    arguments: str = ""
    cpus: int = 1
    board: str = ""


ARM64 = {
    "selftest-setup": Case("selftest", "setup smp=2 mem=256", 2),
    "selftest-vectors-kernel": Case("selftest", "vectors-kernel"),
    "selftest-vectors-user": Case("selftest", "vectors-user"),
    "selftest-smp": Case("selftest", "smp", 4),
    "gicv2-ipi": Case("gic", "ipi", 4, "gic=2"),
    "gicv2-mmio": Case("gic", "mmio", 4, "gic=2"),
    "gicv2-mmio-up": Case("gic", "mmio", 1, "gic=2"),
    "gicv2-mmio-3p": Case("gic", "mmio", 3, "gic=2"),
    "gicv2-active": Case("gic", "active", 4, "gic=2"),
    "gicv3-ipi": Case("gic", "ipi", 4, "gic=3"),
    "gicv3-active": Case("gic", "active", 4, "gic=3"),
    "its-introspection": Case("gic", "its-introspection", 4, "gic=3"),
    "psci": Case("psci", "", 4),
    "timer": Case("timer"),
    "pl031": Case("pl031"),
    "cache": Case("cache"),
    "debug-bp": Case("debug", "bp"),
    "debug-wp": Case("debug", "wp"),
    "debug-sstep": Case("debug", "ss"),
    "fpu-context": Case("fpu", "", 2),
    "spinlock": Case("spinlock-test", "", 4),
    "sieve": Case("sieve"),
    "pmu-cycle-counter": Case("pmu", "cycle-counter 0"),
    "pci-test": Case("pci-test"),
    "mte-sync": Case("mte", "sync"),
}


def x86_cases(directory: Path) -> dict[str, Case]:
    """Return a case for each image there is."""
    return {path.stem: Case(path.stem) for path in sorted(directory.glob("*.flat"))}


def with_header(code: bytes) -> bytes:
    """Return an Image whose code comes to its place, 512 KiB into RAM."""
    size = (len(code) + HEADER + 0x40_0000) & ~0xFFFF
    branch = 0x1400_0000 | HEADER // 4
    fields = (branch, 0, ENTRY - HEADER, size, 0xA, 0, 0, 0, 0x644D_5241, 0)
    return struct.pack("<2I6Q2I", *fields) + code


def run(case: Case, directory: Path, backend: str, timeout: float) -> tuple[str, str]:
    """Run one test; return what came of it, and its output."""
    flat = directory / f"{case.image}.flat"
    arm64 = directory.name == "arm"
    with tempfile.TemporaryDirectory() as scratch:
        image, initrd = flat, None
        if not arm64:
            initrd = Path(scratch) / "environment"
            initrd.write_text(f"NR_CPUS={case.cpus}\nMEMSIZE={MEMORY_MIB}\n")
        if arm64:
            image = Path(scratch) / case.image
            image.write_bytes(with_header(flat.read_bytes()))
        try:
            with Machine(
                image,
                backend=backend,
                memory=f"{MEMORY_MIB}M",
                initrd=initrd,
                cpus=case.cpus,
                cmdline=case.arguments,
                board=case.board,
                stdin=b"",
            ) as machine:
                try:
                    status = machine.run(timeout)
                except GuestTimeout:
                    status = -1
                output = machine.console.output.decode(errors="replace")
                message = machine.outcome.message if machine.outcome else ""
        except UsageError as error:
            return f"refused: {error}", ""
    if arm64:
        found = re.findall(r"EXIT: STATUS=(\d+)", output)
        status = int(found[-1]) if found else -1
    return _verdict(status, output, message), output


def _verdict(status: int, output: str, message: str) -> str:
    checks = re.findall(r"^(PASS|FAIL|SKIP|XFAIL)\b", output, re.MULTILINE)
    counts = ", ".join(
        f"{checks.count(word)} {word}"
        for word in ("PASS", "FAIL", "SKIP", "XFAIL")
        if word in checks
    )
    if status == 1:
        return f"pass ({counts})"
    if status == SKIPPED:
        return f"skipped ({counts})"
    if status & 1 and status > 0 and "FAIL" in checks:
        return f"fail ({counts})"
    last = output.strip().splitlines()[-1:] or [""]
    return f"no verdict ({counts}; {message or last[0]})"


def main() -> int:
    """Run what the command line says and print a line for each test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--backend", default="unicorn")
    parser.add_argument("--timeout", type=float, default=20)
    parser.add_argument("--output", action="store_true", help="print what the tests print")
    parser.add_argument("names", nargs="*")
    options = parser.parse_intermixed_args()
    cases = ARM64 if options.directory.name == "arm" else x86_cases(options.directory)
    passed = 0
    for name, case in cases.items():
        if options.names and name not in options.names:
            continue
        start = time.monotonic()
        verdict, output = run(case, options.directory, options.backend, options.timeout)
        passed += verdict.startswith("pass")
        if options.output:
            print(output)
        print(f"{name:26} {time.monotonic() - start:6.1f} s  {verdict[:120]}", flush=True)
    print(f"{passed} passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
