"""The x86_64 vCPU in the modes that boot loaders leave it in: protected and real."""

from __future__ import annotations

import threading

import pytest

from tests.vmm.backends.unicorn.conftest import MakeGuest
from tests.vmm.backends.unicorn.x86.controller import Controller
from tests.vmm.backends.unicorn.x86.guest import (
    BASE,
    KERNEL_CS_32,
    KERNEL_SS,
    RING0_STACK,
    SCRATCH,
    TRAP_STACK,
    USER_CS_32,
    USER_SS,
    USER_STACK,
)
from vmm.backends.exits import Crashed, Halted
from vmm.backends.registers import DescriptorTable

ENTER_USER_32 = f"""
    push {USER_SS}
    push {USER_STACK}
    push 0x202
    push {USER_CS_32}
    mov eax, offset user
    push eax
    iretd
"""

# What raises it in 32-bit code, vector, error code or None.
EXCEPTIONS = {
    "divide": ("xor ecx, ecx\n fault: div ecx", 0, None),
    "undefined": ("fault: ud2", 6, None),
    "segment": ("mov eax, 0x1000\n fault: mov ds, eax", 13, 0x1000),
    "gate missing": ("fault: int 0x77", 13, 0x77 * 8 + 2),
}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exception_in_protected_mode(x86_guest: MakeGuest, name: str) -> None:
    code, vector, error = EXCEPTIONS[name]
    guest = x86_guest(
        f"""
        .code32
        start:
            {code}
        on_{vector}:
            mov edi, esp
            {"pop eax" if error is not None else ""}
            pop ebx
            pop ecx
            pop edx
            hlt
        """,
        "protected",
    )
    assert guest.run() == Halted()
    assert guest.register("rbx") == guest["fault"]
    assert guest.register("rcx") == KERNEL_CS_32
    assert guest.register("rdi") == RING0_STACK - (12 if error is None else 16)
    if error is not None:
        assert guest.register("rax") == error


def test_rings_in_protected_mode(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        .code32
        start:
            {ENTER_USER_32}
        user:
            int 0x80
        behind:
            ud2
        on_128_user:
            mov edi, esp
            mov esi, [esp]
            iretd
        on_6:
            mov ebp, esp
            pop eax                 # eip
            pop ebx                 # cs
            pop ecx                 # eflags
            pop edx                 # esp
            pop esi                 # ss
            hlt
        """,
        "protected",
    )
    assert guest.run() == Halted()
    register = guest.register
    assert register("rdi") == register("rbp") == TRAP_STACK - 20
    assert (register("rax"), register("rbx")) == (guest["behind"], USER_CS_32)
    assert (register("rdx"), register("rsi")) == (USER_STACK, USER_SS)
    assert register("rcx") & 0x200
    segment = guest.vcpu.registers()["ss"]
    assert (segment.selector, segment.limit) == (KERNEL_SS, 0xFFFF_FFFF)


def test_external_interrupt_in_protected_mode(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        """
        .code32
        start:
            sti
            hlt
        behind:
            cli
            hlt
        on_32:
            mov ebx, [esp]
            iretd
        """,
        "protected",
    )
    threading.Timer(0.02, Controller(guest).request, (32,)).start()
    assert guest.run() == Halted()
    assert guest.register("rbx") == guest["behind"]
    assert guest.register("rsp") == RING0_STACK


def test_exception_and_interrupt_in_real_mode(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        .code16
        start:
            xor cx, cx
        fault:
            div cx
            sti
            hlt
        behind:
            cli
            hlt
        on_0:
            pop word ptr [{SCRATCH}]
            add word ptr [{SCRATCH}], 2
            push word ptr [{SCRATCH}]
            iret
        on_32:
            pop ax
            push ax
            mov bx, sp
            iret
        """,
        "real",
    )
    threading.Timer(0.02, Controller(guest).request, (32,)).start()
    assert guest.run() == Halted()
    assert guest.memory.read_u16(SCRATCH) == guest["fault"] - BASE + 2
    assert guest.register("rax") == guest["behind"] - BASE
    assert guest.register("rbx") == 0x7C00 - 6


def test_triple_fault_in_protected_mode(x86_guest: MakeGuest) -> None:
    guest = x86_guest(".code32\n start: ud2", "protected")
    guest.vcpu.set_registers({"idtr": DescriptorTable(0, 0)})
    assert isinstance(guest.run(), Crashed)
