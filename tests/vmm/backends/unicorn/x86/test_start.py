"""The states in which an x86_64 vCPU can start."""

from __future__ import annotations

from tests.vmm.backends.unicorn.conftest import MakeGuest
from tests.vmm.backends.unicorn.x86.guest import (
    BASE,
    KERNEL_CS,
    RING0_STACK,
    SCRATCH,
)
from vmm.backends.exits import Crashed, Halted
from vmm.backends.registers import Segment


def test_long_mode_start(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        """
        start:
            movabs rax, 0x1122334455667788
            push rax
            pop rbx
            mov rcx, cr0
            hlt
        """
    )
    assert guest.run() == Halted()
    assert guest.register("rbx") == 0x1122_3344_5566_7788
    assert guest.register("rcx") == 0x8001_0033
    assert guest.register("rsp") == RING0_STACK


def test_protected_mode_start_and_switch_to_long_mode(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        .code32
        start:
            mov esi, 0xFFFFFFFF
            inc esi                     # 32 bits wide
            push 7                      # 4 bytes
            mov eax, cr4
            or eax, 0x620
            mov cr4, eax
            mov eax, 0x1000
            mov cr3, eax
            mov ecx, 0xC0000080
            rdmsr
            or eax, 0x901
            wrmsr
            mov eax, cr0
            or eax, 0x80010000
            mov cr0, eax
            .byte 0xEA                  # jmp KERNEL_CS:long
            .long long
            .word {KERNEL_CS}
        .code64
        long:
            mov rdi, -1
            hlt
        """,
        "protected",
    )
    assert guest.run() == Halted()
    assert guest.register("rsi") == 0
    assert guest.register("rsp") == RING0_STACK - 4
    assert guest.register("rdi") == (1 << 64) - 1
    assert guest.register("efer") == 0xD01
    assert guest.vcpu.registers()["cs"] == Segment(KERNEL_CS, 0, 0xFFFF_FFFF, 0xA09B)


def test_real_mode_start_and_software_interrupt(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        .code16
        start:
            mov ax, 0xFFFF
            inc ax                      # 16 bits wide
            xor bx, bx
            mov word ptr [0x6000 + 4 * 0x21], offset handler - {BASE}
            mov word ptr [0x6000 + 4 * 0x21 + 2], cs
            sti
            int 0x21
            cli
            hlt
        handler:
            mov bx, sp
            pushf
            pop cx
            iret
        """,
        "real",
    )
    assert guest.run() == Halted()
    assert guest.register("rax") == 0
    assert guest.register("rbx") == 0x7C00 - 6
    assert guest.register("rcx") & 0x200 == 0
    assert guest.register("rsp") == 0x7C00


def test_a_new_vcpu_is_in_its_state_after_reset(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: nop")
    vcpu = guest.vm.create_vcpu(0, guest.bus)
    registers = vcpu.registers()
    assert registers["cs"] == Segment(0xF000, 0xFFFF_0000, 0xFFFF, 0x9B)
    assert registers["rip"] == 0xFFF0
    assert registers["rflags"] == 2
    assert registers["cr0"] == 0x6000_0010
    assert registers["tr"] == Segment(0, 0, 0xFFFF, 0x8B)
    assert isinstance(vcpu.run(), Crashed)


def test_floating_point_starts_with_exceptions_masked(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            fnstcw [{SCRATCH}]
            stmxcsr [{SCRATCH} + 8]
            hlt
        """
    )
    guest.run()
    assert guest.memory.read_u16(SCRATCH) == 0x37F
    assert guest.memory.read_u32(SCRATCH + 8) == 0x1F80
