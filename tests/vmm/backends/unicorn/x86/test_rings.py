"""An x86_64 guest in ring 3: system calls, exceptions, floating point."""

from __future__ import annotations

import pytest

from tests.vmm.backends.unicorn.conftest import MakeGuest
from tests.vmm.backends.unicorn.x86.guest import (
    ENTER_USER,
    KERNEL_CS,
    KERNEL_SS,
    RING0_STACK,
    SCRATCH,
    TRAP_STACK,
    UNMAPPED,
    USER_CS,
    USER_SS,
    USER_STACK,
)
from vmm.backends.exits import Halted
from vmm.backends.registers import Segment

# Let SYSCALL enter at the label "entry", with the segments of the kernel.
SET_SYSTEM_CALL = """
    mov ecx, 0xC0000081         # STAR
    xor eax, eax
    mov edx, 0x00180008
    wrmsr
    mov ecx, 0xC0000082         # LSTAR
    lea rax, [rip + entry]
    xor edx, edx
    wrmsr
"""


def test_system_call_and_return(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            {SET_SYSTEM_CALL}
            mov ecx, 0xC0000084         # FMASK: IF, DF, AC
            mov eax, 0x40600
            wrmsr
            {ENTER_USER}
        user:
            std
            stc
            mov rdx, rsp
            syscall
        behind:
            mov r8, rcx
            pushfq
            pop r9
            mov r10, cs
            mov rbp, rsp
            ud2
        entry:
            mov r12, rcx
            mov r13, r11
            mov rax, cs
            mov rbx, ss
            mov rsi, rsp
            mov rsp, {RING0_STACK}
            pushfq
            pop rdi
            mov rsp, rsi
            sysretq
        on_6:
            mov r14, [rsp + 8]
            mov r15, [rsp + 32]
            hlt
        """
    )
    assert guest.run() == Halted()
    register = guest.register
    assert register("r12") == guest["behind"]
    assert register("r13") == 0x603  # DF, IF, CF
    assert (register("rax"), register("rbx")) == (KERNEL_CS, KERNEL_SS)
    assert register("rsi") == USER_STACK  # SYSCALL leaves RSP alone
    assert register("rdi") == 0x003  # IF and DF masked, CF kept
    assert register("r8") == guest["behind"]
    assert register("r9") == 0x603
    assert (register("r10"), register("r14"), register("r15")) == (USER_CS, USER_CS, USER_SS)


def test_system_call_with_prefixes_enters_at_lstar(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            {SET_SYSTEM_CALL}
            {ENTER_USER}
        user:
            .byte 0x66, 0x48, 0x0F, 0x05
        behind:
            ud2
        entry:
            inc rbp
            cli
            hlt
        """
    )
    guest.vcpu.set_registers({"rbp": 0})
    assert guest.run() == Halted()
    assert guest.register("rbp") == 1
    assert guest.register("rcx") == guest["behind"]


def test_flags_of_a_program_do_not_stay_behind_a_system_call(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            {SET_SYSTEM_CALL}
            {ENTER_USER}
        user:
            std
            stc
            syscall
        entry:
            mov rsp, {RING0_STACK}
            cld
            xor eax, eax
            inc eax
            clc
            int3
        on_3:
            mov rbx, [rsp + 16]
            cli
            hlt
        """
    )
    assert guest.run() == Halted()
    assert guest.register("rbx") == 0x202


# What ring 3 does, vector, error code or None.
FROM_USER = {
    "breakpoint": ("int3", 3, None),
    "undefined": ("ud2", 6, None),
    "halt": ("hlt", 13, 0),
    "gate of ring 0": ("int 0x0D", 13, 13 * 8 + 2),
    "page fault": (f"mov [{UNMAPPED}], al", 14, 6),
}


@pytest.mark.parametrize("name", FROM_USER)
def test_exception_from_ring_3(x86_guest: MakeGuest, name: str) -> None:
    code, vector, error = FROM_USER[name]
    guest = x86_guest(
        f"""
        start:
            mov ecx, 0xC0000102         # KERNEL_GS_BASE
            mov eax, {SCRATCH}
            xor edx, edx
            wrmsr
            mov qword ptr [{SCRATCH}], 0x77
            {ENTER_USER}
        user:
            {code}
        behind:
            jmp behind
        on_{vector}{"_user" if vector == 3 else ""}:
            swapgs
            mov r8, rsp
            {"pop r9" if error is not None else ""}
            pop r10
            pop r11
            pop r12
            pop r13
            pop r14
            mov r15, gs:[0]
            hlt
        """
    )
    guest.vcpu.set_registers({"gs": Segment(0, 0, 0xFFFF_FFFF, 0xC0F3)})
    assert guest.run() == Halted()
    register = guest.register
    assert register("r8") == TRAP_STACK - (40 if error is None else 48)
    assert register("r10") == guest["behind" if name == "breakpoint" else "user"]
    assert (register("r11"), register("r14")) == (USER_CS, USER_SS)
    assert register("r12") & 0x200
    assert register("r13") == USER_STACK
    assert register("r15") == 0x77
    if error is not None:
        assert register("r9") == error


def test_sse_in_both_rings(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            mov eax, 5
            cvtsi2sd xmm0, eax
            {ENTER_USER}
        user:
            mulsd xmm0, xmm0
            movsd [{SCRATCH}], xmm0
            pshufd xmm1, xmm0, 0x4E
            movups [{SCRATCH} + 16], xmm1
            int3
        on_3_user:
            sqrtsd xmm0, xmm0
            cvtsd2si rax, xmm0
            cvtsd2si rbx, [{SCRATCH}]
            hlt
        """
    )
    assert guest.run() == Halted()
    assert guest.register("rax") == 5
    assert guest.register("rbx") == 25
