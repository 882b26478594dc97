"""What KVM refuses is executed beside it: registers, memory, devices, faults and interrupts agree.

On a KVM that executes these programs by itself the assistant is asked for the first instruction
alone, which the tests make one that matters.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vmm.backends.assemble import assemble
from tests.vmm.backends.kvm.machines import DEVICE, PROGRAM, Machine, long_mode, machine
from vmm.arch import X86_64, host_arch
from vmm.backends.exits import Crashed, InternalError, Interrupted
from vmm.backends.registers import DescriptorTable
from vmm.errors import BackendUnavailable
from vmm.memory import PAGE_SIZE

pytestmark = [
    pytest.mark.skipif(host_arch() != X86_64, reason="needs an x86_64 host"),
    pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="needs /dev/kvm"),
]

DATA = 0x9_0000
IDT = 0x6_0000
GDT = 0x6_2000

# CR4: PAE, OSFXSR, OSXMMEXCPT, OSXSAVE.
CR4 = 0x4_0620
STOP = "out 0x80, al\n"
PAGE_FAULT = 14


class Assisted:
    """A machine whose vCPU is helped."""

    def __init__(self, guest: Machine) -> None:
        from vmm.backends.assist.assistant import Assistant

        self.guest = guest
        self.memory = guest.memory
        self.vcpu: Any = guest.vcpu
        self.assistant = Assistant(self.vcpu, guest.memory, guest.bus)

    def load(self, source: str, **registers: Any) -> dict[str, int]:
        program = assemble("x86_64", source, PROGRAM)
        state = {**long_mode(self.memory), "cr4": CR4, "rbx": DATA, **registers}
        self.guest.load(program.code.hex(), **state)
        return program.symbols

    def assist(self) -> Any:
        """Have the instruction at RIP executed as if KVM had refused it."""
        rip = self.vcpu.registers()["rip"]
        return self.assistant.assist(InternalError("refused", self.memory.read(rip, 15)))

    def go_on(self) -> Any:
        """Run to the end, with help."""
        while True:
            end = self.vcpu.run()
            if not isinstance(end, InternalError):
                return end
            left = self.assistant.assist(end)
            if left is not None:
                return left

    def run(self, source: str, **registers: Any) -> None:
        self.load(source, **registers)
        assert self.assist() is None
        assert self.go_on() == Interrupted()

    def words(self, address: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.memory.read(address, 8 * count))


@pytest.fixture
def assisted() -> Iterator[Assisted]:
    with machine() as guest:
        try:
            made = Assisted(guest)
        except BackendUnavailable as error:
            pytest.skip(str(error))
        yield made
        made.assistant.close()


def test_sse_registers_outlast_the_way_to_kvm_and_back(assisted: Assisted) -> None:
    assisted.run(
        "movq xmm0, rax; movq xmm15, rcx; rdtsc;"  # which is for KVM alone
        "paddq xmm0, xmm15; movq [rbx], xmm0; movq [rbx + 8], xmm15;" + STOP,
        rax=40,
        rcx=2,
    )
    assert assisted.words(DATA, 2) == (42, 2)


def test_the_x87_stack_and_its_control_word_are_carried(assisted: Assisted) -> None:
    assisted.run(
        "fninit; fld1; fldpi; push 0x27f; fldcw [rsp]; rdtsc;"
        "faddp; fstp qword ptr [rbx]; fnstcw [rbx + 8]; fnstsw [rbx + 10];" + STOP
    )
    total, control, status = struct.unpack("<dHH", assisted.memory.read(DATA, 12))
    assert total == pytest.approx(4.14159265)
    assert control == 0x27F
    assert status & 0x3800 == 0  # the stack is empty again: its top is register 0


def test_flags_and_general_registers_are_those_of_the_instruction(assisted: Assisted) -> None:
    # ucomisd of 1.0 with 2.0 sets CF alone of ZF, PF and CF.
    one, two = struct.pack("<d", 1.0), struct.pack("<d", 2.0)
    assisted.memory.write(DATA, one + two)
    assisted.run(
        "movsd xmm1, [rbx]; ucomisd xmm1, [rbx + 8]; pushfq; pop rsi; popcnt rdi, rcx;"
        "mov [rbx + 16], rsi; mov [rbx + 24], rdi;" + STOP,
        rcx=0xFF00,
    )
    flags, ones = assisted.words(DATA + 16, 2)
    assert (flags & 0x45, ones) == (1, 8)


def test_a_loop_with_vector_instructions_is_not_handed_over_at_each(assisted: Assisted) -> None:
    assisted.run(
        "movq xmm1, rax; 2: paddq xmm0, xmm1; dec rcx; jnz 2b; movq [rbx], xmm0;" + STOP,
        rax=3,
        rcx=1000,
    )
    assert assisted.words(DATA, 1) == (3000,)
    assert assisted.assistant.refused < 20


def test_segment_bases_are_used(assisted: Assisted) -> None:
    assisted.memory.write(DATA + 0x100, struct.pack("<Q", 77))
    assisted.load(
        "mov ecx, 0xc0000101; xor edx, edx; mov eax, 0x90100; wrmsr;"
        "movq xmm0, gs:[0]; movq [rbx], xmm0;" + STOP
    )
    assert assisted.go_on() == Interrupted()
    assert assisted.words(DATA, 1) == (77,)


def test_accesses_to_devices_go_to_the_same_bus(assisted: Assisted) -> None:
    assisted.guest.bus.answers[DEVICE] = [0x1234]
    assisted.run("movd xmm0, [rdi]; movd [rdi + 8], xmm0;" + STOP)
    assert assisted.guest.bus.accesses == [
        ("load", DEVICE, 4, 0x1234),
        ("store", DEVICE + 8, 4, 0x1234),
    ]


def test_a_kick_from_a_device_ends_the_burst(assisted: Assisted) -> None:
    assisted.guest.bus.last = 1
    assisted.load("movd [rdi], xmm0; mov dword ptr [rbx], 1;" + STOP)
    assert assisted.assist() is None
    assert assisted.go_on() == Interrupted()
    assert assisted.words(DATA, 1) == (0,)


def test_the_local_apic_stays_with_kvm(assisted: Assisted) -> None:
    assisted.run("pxor xmm0, xmm0; mov esi, 0xfee00030; mov eax, [rsi]; mov [rbx], eax;" + STOP)
    assert assisted.words(DATA, 1)[0] & 0xFF >= 0x10  # the version register of a local APIC
    assert assisted.guest.bus.accesses == []


def gate(memory: Any, vector: int, handler: int) -> None:
    low = handler & 0xFFFF | 0x08 << 16 | 0x8E00 << 32 | handler >> 16 << 48
    memory.write_u64(IDT + 16 * vector, low)
    memory.write_u64(IDT + 16 * vector + 8, 0)


def interrupt_tables(memory: Any) -> dict[str, Any]:
    for index, descriptor in enumerate((0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF)):
        memory.write_u64(GDT + 8 * index, descriptor)
    return {"idtr": DescriptorTable(IDT, 0xFFF), "gdtr": DescriptorTable(GDT, 0x17)}


def test_a_page_fault_is_the_guests(assisted: Assisted) -> None:
    tables = interrupt_tables(assisted.memory)
    symbols = assisted.load(
        "movups xmm0, [rax]; hlt;\nhandler: pop rcx; mov rdx, cr2;"
        "mov [rbx], rcx; mov [rbx + 8], rdx;" + STOP,
        rax=0x7000_0000,
        **tables,
    )
    gate(assisted.memory, PAGE_FAULT, symbols["handler"])
    assert assisted.assist() is None
    assert assisted.go_on() == Interrupted()
    assert assisted.words(DATA, 2) == (0, 0x7000_0000)


def test_a_fault_without_a_handler_is_a_triple_fault(assisted: Assisted) -> None:
    assisted.load("movups xmm0, [rax];" + STOP, rax=0x7000_0000)
    assert assisted.assist() == Crashed("triple fault")


class Pending:
    """A controller at the INTR pin that requests one interrupt."""

    def pending(self) -> bool:
        return True

    def acknowledge(self) -> int:
        return 0x40


def test_the_shadow_of_sti_ends_with_the_instruction(assisted: Assisted) -> None:
    """An interrupt is taken between the instruction and CLI, the only place where it can be."""
    tables = interrupt_tables(assisted.memory)
    symbols = assisted.load(
        "2: sti; pxor xmm0, xmm0; cli; jmp 2b;\nhandler: mov rax, [rsp]; mov [rbx], rax;" + STOP,
        **tables,
    )
    gate(assisted.memory, 0x40, symbols["handler"])
    assisted.vcpu.connect_interrupts(Pending())(True)
    assert assisted.go_on() == Interrupted()
    assert assisted.words(DATA, 1) == (PROGRAM + 5,)


def test_the_extended_state_is_saved_and_restored_whole(assisted: Assisted) -> None:
    """Through XSAVE and XRSTOR of what KVM has, the upper halves of AVX registers included."""
    assisted.load(
        "xor ecx, ecx; xor edx, edx; mov eax, 7; xsetbv; mov eax, 7; xsave [rbx];"
        "mov eax, 7; xrstor [rbx + 0x1000]; mov eax, 7; xsaveopt [rbx + 0x2000 + rsi * 4];"
        "xor ecx, ecx; xgetbv;" + STOP,
        rsi=0x400,
    )
    state = bytearray(PAGE_SIZE)
    state[0:2], state[24:28] = b"\x7f\x03", b"\x80\x1f\0\0"
    state[160:176] = bytes(range(16))
    state[512] = 7
    state[576:592] = bytes(range(100, 116))
    assisted.memory.write(DATA + 0x1000, state)
    assert assisted.go_on() == Interrupted()
    saved = assisted.memory.read(DATA + 0x3000, PAGE_SIZE)
    assert saved[160:176] == bytes(range(16))
    assert saved[576:592] == bytes(range(100, 116))
    assert saved[512] & 7 >= 6
    assert assisted.vcpu.registers()["rax"] == 7


def test_xsave_into_nowhere_is_no_exception_of_ours(assisted: Assisted) -> None:
    assisted.load("xsave [rax];" + STOP, rax=0x7000_0000)
    end = assisted.assist()
    assert isinstance(end, InternalError)
    assert "where there is no RAM" in end.reason


def test_what_the_engine_does_not_know_either_is_named(assisted: Assisted) -> None:
    assisted.load("vpxor ymm0, ymm0, ymm0;" + STOP)
    end = assisted.assist()
    assert isinstance(end, InternalError)
    assert "emulation assist" in end.reason
    assert end.instruction.startswith(b"\xc5\xfd\xef\xc0")
