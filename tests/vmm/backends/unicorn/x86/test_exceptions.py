"""Exceptions of an x86_64 guest: what it finds in its handlers, and what ends it."""

from __future__ import annotations

import pytest

from tests.vmm.backends.unicorn.conftest import MakeGuest
from tests.vmm.backends.unicorn.x86.guest import (
    ENTER_USER,
    IST1_STACK,
    KERNEL_CS,
    KERNEL_SS,
    MMIO,
    READ_ONLY,
    RING0_STACK,
    UNMAPPED,
)
from vmm.backends.exits import Crashed, Halted, InternalError
from vmm.backends.registers import DescriptorTable

# ---- Exceptions ----

# What raises it, vector, error code or None, CR2 or None.
EXCEPTIONS = {
    "divide": ("xor ecx, ecx\n fault: div ecx", 0, None, None),
    "single step": ("push 0x102\n popf\n nop\n fault: nop", 1, None, None),
    "undefined": ("fault: ud2", 6, None, None),
    "system call disabled": (
        "mov ecx, 0xC0000080\n rdmsr\n btr eax, 0\n wrmsr\n fault: syscall",
        6,
        None,
        None,
    ),
    "no fpu": ("mov rax, cr0\n or rax, 8\n mov cr0, rax\n fault: addps xmm0, xmm0", 7, None, None),
    "segment": ("mov ax, 0x1000\n fault: mov ds, ax", 13, 0x1000, None),
    "segment not present": ("mov ax, 0x50\n fault: mov ds, ax", 11, 0x50, None),
    "not canonical": ("movabs rax, 0x800000000000\n fault: mov [rax], al", 13, 0, None),
    "gate missing": ("fault: int 0x77", 13, 0x77 * 8 + 2, None),
    "read": (f"mov rax, {UNMAPPED}\n fault: mov rbx, [rax]", 14, 0, UNMAPPED),
    "write": (f"mov rax, {UNMAPPED + 8}\n fault: mov [rax], rbx", 14, 2, UNMAPPED + 8),
    "fetch": (f"mov rax, {UNMAPPED}\n jmp rax", 14, 0x10, UNMAPPED),
    "write-protected": (
        f"fault: mov [{READ_ONLY}], ebx",
        14,
        3,
        READ_ONLY,
    ),
    "crossing pages": (
        "fault: mov rbx, [0x3FFFFC]",
        14,
        0,
        0x40_0000,
    ),
}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exception(x86_guest: MakeGuest, name: str) -> None:
    code, vector, error, address = EXCEPTIONS[name]
    guest = x86_guest(
        f"""
        start:
            {code}
        after:
            jmp after
        .balign 16
        on_{vector}:
            mov r8, rsp
            {"pop r9" if error is not None else ""}
            pop r10                 # rip
            pop r11                 # cs
            pop r12                 # rflags
            pop r13                 # rsp
            pop r14                 # ss
            mov r15, cr2
            hlt
        """
    )
    guest.memory.write_u64(0x5000 + 0x50, 0x00CF_1300_0000_FFFF)  # data, not present
    guest.vcpu.set_registers({"gdtr": DescriptorTable(0x5000, 0x57)})
    assert guest.run() == Halted()
    fault = guest.program.symbols.get("fault", UNMAPPED)
    assert guest.register("r10") == fault
    assert guest.register("r11") == KERNEL_CS
    assert guest.register("r13") == RING0_STACK
    assert guest.register("r14") == KERNEL_SS
    assert guest.register("r8") == RING0_STACK - (40 if error is None else 48)
    if error is not None:
        assert guest.register("r9") == error
    if address is not None:
        assert guest.register("r15") == address


def test_breakpoint_and_int_push_the_next_instruction(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        """
        start:
            int3
        first:
            int 0x80
        second:
            hlt
        on_3:
            mov rbx, [rsp]
            iretq
        on_128:
            mov rcx, [rsp]
            iretq
        """
    )
    assert guest.run() == Halted()
    assert guest.register("rbx") == guest["first"]
    assert guest.register("rcx") == guest["second"]


def test_interrupt_stack_table(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        """
        start:
            ud2
        on_6_ist:
            mov rax, rsp
            hlt
        """
    )
    guest.run()
    assert guest.register("rax") == IST1_STACK - 40


def test_a_fault_in_delivery_becomes_a_double_fault(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            mov rsp, {UNMAPPED}
            mov rbx, [{UNMAPPED} + 0x1000]
        on_14:
            hlt
        on_8_ist:
            pop rax
            pop rbx
            mov rcx, cr2
            hlt
        """
    )
    assert guest.run() == Halted()
    assert guest.register("rax") == 0
    assert guest.register("rcx") == UNMAPPED - 8


def test_triple_fault(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: lidt [empty]\n here: ud2\n empty: .quad 0, 0")
    exit_ = guest.run()
    assert isinstance(exit_, Crashed)
    assert exit_.reason == f"triple fault at {guest['here']:#x}"


def test_a_guest_goes_on_after_a_triple_fault_where_it_is_told_to(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: lidt [empty]\n ud2\n empty: .quad 0, 0\n other: hlt")
    assert isinstance(guest.run(), Crashed)
    guest.vcpu.set_registers({"rip": guest["other"]})
    assert guest.run() == Halted()


def test_handler_that_returns_restarts_the_instruction(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        """
        start:
            mov eax, 0x80000000
            mov rbx, [rax]                          # mapped by the handler
            hlt
        on_14:
            mov qword ptr [0x2000 + 8 * 2], 0x83    # 1 GiB at 0
            add rsp, 8
            iretq
        """
    )
    guest.memory.write_u64(0, 0x1234_5678_9ABC_DEF0)
    assert guest.run() == Halted()
    assert guest.register("rbx") == 0x1234_5678_9ABC_DEF0


# ---- Hostile guests ----


def test_a_null_task_register_does_not_harm(x86_guest: MakeGuest) -> None:
    """The engine would abort the process for want of a stack."""
    guest = x86_guest(
        f"""
        start:
            xor eax, eax
            ltr ax
            {ENTER_USER}
        user:
            ud2
        on_6:
            hlt
        """
    )
    assert isinstance(guest.run(), Crashed)


def test_memory_beyond_ram_is_the_bus(x86_guest: MakeGuest) -> None:
    guest = x86_guest(f"start: movabs rax, [{MMIO}]\n hlt")
    guest.bus.answer = lambda _address, _size: 0x55
    guest.run()
    assert guest.bus.accesses[0][:2] == ("mmio read", MMIO)


def test_execution_outside_ram_ends_the_run(x86_guest: MakeGuest) -> None:
    guest = x86_guest(f"start: mov rax, {MMIO}\n jmp rax")
    assert isinstance(guest.run(), Crashed | InternalError)
