"""AVX and AVX-512 in the guest, as on Linux; where there is none, the guest says so."""

from __future__ import annotations

from pathlib import Path

from tests.guest.test_programs import build, run_in_guest, run_on_host
from vmm.arch import X86_64, host_arch

PROGRAM = Path(__file__).parent / "programs_of_processors/avx.c"


def test_wide_registers_are_kept(arch: str, backend: str) -> None:
    expected = (0, b"no AVX\n")
    if backend == "kvm":
        expected = run_on_host(build(PROGRAM, host_arch() or X86_64, "static"))
    assert run_in_guest(build(PROGRAM, arch, "static"), arch, backend) == expected
