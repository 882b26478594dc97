"""Machines with kernels that others built: halting for good, and the text screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import BACKENDS, ON_KVM
from tests.foreign.images import CODE, fixed_elf, linux_elf, linux_elf_maker, pvh
from tests.vmm.backends.assemble import assemble
from tests.vmm.images.elf_maker import PT_NOTE, Part, R, note
from vmm.arch import host_arch
from vmm.errors import GuestTimeout, VmmError
from vmm.machine.machine import Machine

ON_X86 = [backend for backend in BACKENDS if backend == "unicorn" or host_arch() == "x86_64"]


def code(source: str) -> bytes:
    return assemble("x86_64", source, CODE["linux-elf"]).code


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "kernel"


@pytest.mark.parametrize("backend", ON_X86)
def test_a_kernel_that_halts_for_good_has_crashed(image: Path, backend: str) -> None:
    image.write_bytes(linux_elf(code("hlt")))
    with Machine(image, backend=backend) as machine:
        assert machine.run(timeout=20) == 126
        assert machine.outcome is not None
        assert machine.outcome.message == "halted with interrupts disabled"


@pytest.mark.parametrize("backend", ON_X86)
def test_linux_that_halts_for_good_is_off(image: Path, backend: str) -> None:
    maker = linux_elf_maker(code("hlt"))
    maker.parts.append(Part(PT_NOTE, R, 0, note(b"Linux", 0x101, bytes(4)), alignment=4))
    image.write_bytes(maker.build())
    with Machine(image, backend=backend) as machine:
        assert machine.run(timeout=20) == 0
        assert machine.outcome is not None
        assert machine.outcome.kind == "powered off"


@ON_KVM
@pytest.mark.skipif(host_arch() != "x86_64", reason="the host's KVM runs no x86_64 guests")
@pytest.mark.parametrize("source", ["1: jmp 1b", "sti; 1: hlt; jmp 1b"])
def test_a_kernel_that_spins_or_waits_is_left_alone(image: Path, source: str) -> None:
    image.write_bytes(linux_elf(code(source)))
    with Machine(image, backend="kvm") as machine, pytest.raises(GuestTimeout):
        machine.run(timeout=2)


def test_the_text_screen(image: Path) -> None:
    source = """
        .code32
        mov dword ptr [0xb8000], 0x07690748
        mov dword ptr [0xb8000 + 2 * 80], 0x071b0720
        mov word ptr [0xb8000 + 4 * 80], 0x0721
        hlt
    """
    image.write_bytes(pvh(assemble("x86_64", source, CODE["pvh"]).code))
    with Machine(image, backend="unicorn") as machine:
        assert machine.screen == ""
        machine.run(timeout=20)
        assert machine.screen == "Hi\n \x1b\n!"


def test_only_a_pc_has_one(image: Path) -> None:
    image.write_bytes(fixed_elf(bytes(4)))
    with (
        Machine(image, backend="unicorn") as machine,
        pytest.raises(VmmError, match="only machines of x86_64"),
    ):
        _ = machine.screen


SSE = "mov rax, cr4; or eax, 0x600; mov cr4, rax; movq xmm0, rsi; movq rdx, xmm0;"
POWER_OFF = "mov dx, 0x604; mov ax, 0x2000; out dx, ax; hlt"


@ON_KVM
@pytest.mark.skipif(host_arch() != "x86_64", reason="needs an x86_64 host")
def test_kernels_with_sse_run_on_a_kvm_that_knows_none(image: Path) -> None:
    image.write_bytes(linux_elf(code(SSE + POWER_OFF)))
    with Machine(image, backend="kvm") as machine:
        assert machine.run(timeout=20) == 0
        helped = bool(machine.assistants)
    with Machine(image, backend="kvm", assist=False) as machine:
        status = machine.run(timeout=20)
        assert not machine.assistants
        assert status == (125 if helped else 0)
        if helped:
            assert machine.outcome is not None
            assert "KVM_INTERNAL_ERROR_EMULATION" in machine.outcome.message
