"""A program that jumps to the kernel's entry for system calls gets no more than a system call."""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.conftest import ON_KVM
from tests.guest.test_programs import build
from vmm import Machine
from vmm.arch import X86_64, host_arch
from vmm.images import bundled

BACKENDS = ["unicorn"]
if host_arch() == X86_64:
    BACKENDS.append(pytest.param("kvm", marks=ON_KVM))

PROGRAM = Path(__file__).parent / "programs_of_processors/forged_call.c"

# RFLAGS (SDM volume 1, 3.4.3): interrupts enabled; IOPL, nested task, resume, virtual 8086.
INTERRUPTS = 0x200
PRIVILEGED = 0x37000

NOT_CANONICAL = 0x4000_0000_0000_0000
SIGSEGV = 139


def entry() -> int:
    with Path(bundled.kernel_path(X86_64)).open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return int(table.get_symbol_by_name("syscall_entry")[0]["st_value"])


def forge(backend: str, flags: int, back: int) -> tuple[int, bytes]:
    arguments = [f"{number:x}" for number in (entry(), flags, back)]
    with Machine(build(PROGRAM, X86_64, "static"), arguments, backend=backend) as machine:
        return machine.run(timeout=60), machine.console.output


@pytest.mark.parametrize("backend", BACKENDS)
def test_flags_stay_those_of_a_program(backend: str) -> None:
    expected = f"result 1, privileged flags {INTERRUPTS:#x}\n".encode()
    assert forge(backend, PRIVILEGED, 0) == (0, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_return_to_no_address_is_a_fault_of_the_program(backend: str) -> None:
    status, output = forge(backend, INTERRUPTS, NOT_CANONICAL)
    assert status == SIGSEGV
    assert b"result" not in output
