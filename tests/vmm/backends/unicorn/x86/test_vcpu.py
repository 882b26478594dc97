"""The x86_64 vCPU: start states, registers, exceptions, rings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vmm.backends.unicorn.conftest import MakeGuest
from tests.vmm.backends.unicorn.x86.guest import (
    BASE,
    ENTER_USER,
    IST1_STACK,
    KERNEL_CS,
    KERNEL_SS,
    MMIO,
    RAM,
    READ_ONLY,
    RING0_STACK,
    SCRATCH,
    TRAP_STACK,
    UNMAPPED,
    USER_CS,
    USER_SS,
    USER_STACK,
)
from vmm.backends.exits import Crashed, Halted, InternalError
from vmm.backends.registers import DescriptorTable, Segment

# ---- Start states ----


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


# ---- Registers ----

GENERAL = [*"rax rcx rdx rbx rsp rbp rsi rdi rip cr2".split(), *(f"r{n}" for n in range(8, 16))]
WORDS = st.integers(0, (1 << 64) - 1)


def test_registers_are_kept(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: nop")

    @settings(max_examples=30)
    @given(st.dictionaries(st.sampled_from(GENERAL), WORDS))
    def check(values: dict[str, int]) -> None:
        before = guest.vcpu.registers()
        guest.vcpu.set_registers(values)
        assert guest.vcpu.registers() == {**before, **values}

    check()


def test_segments_tables_and_flags_are_kept(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: nop")
    values = {
        "fs": Segment(0x2B, 0x1234_5678_9ABC, 0xFFFF, 0x80F3),
        "gs": Segment(0, 0xFFFF_8000_0000_0000, 0, 0),
        "tr": Segment(0x30, 0x7000, 0x67, 0x8B),
        "ldt": Segment(0x48, 0x9000, 0xF, 0x82),
        "gdtr": DescriptorTable(0xFFFF_FFFF_8000_0000, 0x7F),
        "idtr": DescriptorTable(0x6000, 0xFFF),
        "rflags": 0x0024_0CD7,
        "cr0": 0x8001_0033,
        "cr3": 0x1000,
        "cr4": 0x6A0,
        "efer": 0xD01,
    }
    guest.vcpu.set_registers(values)
    registers = guest.vcpu.registers()
    assert {name: registers[name] for name in values} == values


def test_an_unknown_register_is_refused(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: nop")
    with pytest.raises(ValueError, match="no register 'x0'"):
        guest.vcpu.set_registers({"x0": 1})


def test_all_registers_reach_the_guest(x86_guest: MakeGuest) -> None:
    names = [name for name in GENERAL if name not in ("rip", "rsp", "cr2")]
    stores = "\n".join(f"mov [{SCRATCH} + {8 * i}], {name}" for i, name in enumerate(names))
    guest = x86_guest(
        f"""
        start:
            {stores}
            pushfq
            pop rax
            mov rbx, cr2
            mov rcx, gs:[8]
            hlt
        """
    )
    values = {name: 0x0101_0101_0101_0101 * (i + 1) for i, name in enumerate(names)}
    special = {"rflags": 0xCD7, "cr2": 0xDEAD_BEEF, "gs": Segment(0, SCRATCH, 0, 0)}
    guest.vcpu.set_registers({**values, **special})
    guest.run()
    found = {n: guest.memory.read_u64(SCRATCH + 8 * i) for i, n in enumerate(names)}
    assert found == values
    assert guest.register("rax") == 0xCD7
    assert guest.register("rbx") == 0xDEAD_BEEF
    assert guest.register("rcx") == values[names[1]]


def test_flags_set_by_instructions_are_read(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: std\n mov eax, 0x7FFFFFFF\n add eax, 1\n hlt")
    guest.run()
    # OF DF SF AF PF, and bit 1
    assert guest.register("rflags") == 0x800 | 0x400 | 0x80 | 0x10 | 0x4 | 2


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


# ---- Rings ----


def test_system_call_and_return(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            mov ecx, 0xC0000081         # STAR
            xor eax, eax
            mov edx, 0x00180008
            wrmsr
            mov ecx, 0xC0000082         # LSTAR
            lea rax, [rip + entry]
            xor edx, edx
            wrmsr
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
            mov ecx, 0xC0000081
            mov edx, 0x00180008
            wrmsr
            mov ecx, 0xC0000082
            lea rax, [rip + entry]
            xor edx, edx
            wrmsr
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
            mov ecx, 0xC0000081
            mov edx, 0x00180008
            wrmsr
            mov ecx, 0xC0000082
            lea rax, [rip + entry]
            xor edx, edx
            wrmsr
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


# ---- Address translation ----


def test_translate(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: hlt")
    memory = guest.memory
    memory.write_u64(0x1000 + 8 * 511, 0x9000 | 3)
    memory.write_u64(0x9000 + 8 * 511, 0x4000_0000 | 0x83)  # 1 GiB
    memory.write_u64(0x9000 + 8 * 510, 0xA000 | 3)
    memory.write_u64(0xA000 + 8 * 3, 0xB000 | 3)
    memory.write_u64(0xB000 + 8 * 7, 0x12_3000 | 1 << 63 | 3)  # 4 KiB, no execution
    translate = guest.vcpu.translate
    assert translate(0x1234) == 0x1234
    assert translate(0x1F_FFFF) == 0x1F_FFFF
    assert translate(0x40_0000) is None
    assert translate(0xFFFF_FFFF_C123_4567) == 0x4123_4567
    assert translate(0xFFFF_FFFF_8000_0000 + (3 << 21) + (7 << 12) + 0xABC) == 0x12_3ABC
    assert translate(0x8000_0000_0000) is None  # not canonical
    assert translate(0x0000_7FFF_FFFF_FFFF) is None


def test_translate_without_paging(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: hlt", "protected")
    assert guest.vcpu.translate(0xFEE0_0000) == 0xFEE0_0000


def test_translate_in_the_legacy_modes(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: hlt", "protected")
    memory = guest.memory
    memory.write_u32(0x9000 + 4 * 1, 0xA000 | 3)
    memory.write_u32(0xA000 + 4 * 5, 0x12_3000 | 3)
    memory.write_u32(0x9000 + 4 * 768, 0x40_0000 | 0x83)  # 4 MiB
    guest.vcpu.set_registers({"cr0": 0x8000_0011, "cr3": 0x9000, "cr4": 0x10})
    assert guest.vcpu.translate(0x40_5678) == 0x12_3678
    assert guest.vcpu.translate(0xC012_3456) == 0x52_3456
    assert guest.vcpu.translate(0x5000_0000) is None
    memory.write_u64(0xB000 + 8 * 3, 0xC000 | 1)
    memory.write_u64(0xC000 + 8 * 1, 0x20_0000 | 0x83)  # 2 MiB
    guest.vcpu.set_registers({"cr3": 0xB000, "cr4": 0x20})
    assert guest.vcpu.translate(0xC020_1234) == 0x20_1234
    assert guest.vcpu.translate(0x1000) is None


def test_tables_outside_ram_map_nothing(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: hlt")
    guest.vcpu.set_registers({"cr3": RAM + 0x10_0000})
    assert guest.vcpu.translate(0) is None
