"""KVM on x86_64: accesses, ends, registers, processors."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from tests.vmm.backends.kvm.machines import (
    DEVICE,
    ENABLE_APIC,
    PROGRAM,
    RAM_SIZE,
    X86_STOP,
    Machine,
    long_mode,
    machine,
    start_state,
)
from vmm.arch import X86_64, host_arch
from vmm.backends.exits import Crashed, InternalError, Interrupted
from vmm.backends.kvm.errors import KvmError
from vmm.backends.registers import DescriptorTable, Segment

if host_arch() != X86_64:
    pytest.skip("needs an x86_64 host", allow_module_level=True)

pytestmark = pytest.mark.kvm


@pytest.fixture
def guest() -> Iterator[Machine]:
    with machine() as made:
        yield made


# ---- Accesses ----


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("ee", 1),  # out dx, al
        ("66 ef", 2),  # out dx, ax
        ("ef", 4),  # out dx, eax
    ],
)
def test_port_writes_carry_their_size_and_value(guest: Machine, code: str, size: int) -> None:
    value = 0x4433_2211 & (1 << 8 * size) - 1
    assert guest.run(code + X86_STOP, rax=0x4433_2211) == [("out", 0x3F8, size, value)]


@pytest.mark.parametrize(
    ("code", "size", "rax"),
    [
        ("ec", 1, 0xFFFF_FFAA),  # in al, dx
        ("66 ed", 2, 0xFFFF_BBAA),  # in ax, dx
        ("ed", 4, 0xDDCC_BBAA),  # in eax, dx
    ],
)
def test_port_reads_fill_as_much_of_the_register(
    guest: Machine, code: str, size: int, rax: int
) -> None:
    guest.bus.answers[0x3F8] = [0xDDCC_BBAA & (1 << 8 * size) - 1]
    guest.run(code + X86_STOP, rax=0xFFFF_FFFF)
    assert guest.bus.accesses[0][:3] == ("in", 0x3F8, size)
    assert guest.vcpu.registers()["rax"] == rax


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("88 07", 1),  # mov [rdi], al
        ("66 89 07", 2),  # mov [rdi], ax
        ("89 07", 4),  # mov [rdi], eax
        ("48 89 07", 8),  # mov [rdi], rax
    ],
)
def test_stores_carry_their_size_and_value(guest: Machine, code: str, size: int) -> None:
    value = 0x8877_6655_4433_2211 & (1 << 8 * size) - 1
    accesses = guest.run(code + X86_STOP, rax=0x8877_6655_4433_2211, **long_mode(guest.memory))
    assert accesses == [("store", DEVICE, size, value)]


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("0f b6 07", 1),  # movzx eax, byte [rdi]
        ("0f b7 07", 2),  # movzx eax, word [rdi]
        ("8b 07", 4),  # mov eax, [rdi]
        ("48 8b 07", 8),  # mov rax, [rdi]
    ],
)
def test_loads_get_their_answer(guest: Machine, code: str, size: int) -> None:
    value = 0x8877_6655_4433_2211 & (1 << 8 * size) - 1
    guest.bus.answers[DEVICE] = [value]
    accesses = guest.run(code + X86_STOP, **long_mode(guest.memory))
    assert accesses == [("load", DEVICE, size, value)]
    assert guest.vcpu.registers()["rax"] == value


def test_a_store_across_pages_comes_in_aligned_pieces(guest: Machine) -> None:
    # mov [rdi], rax
    accesses = guest.run(
        "48 89 07" + X86_STOP,
        **{"rax": 0x8877_6655_4433_2211, "rdi": DEVICE + 0xFFD, **long_mode(guest.memory)},
    )
    assert accesses == [
        ("store", DEVICE + 0xFFD, 1, 0x11),
        ("store", DEVICE + 0xFFE, 2, 0x3322),
        ("store", DEVICE + 0x1000, 4, 0x7766_5544),
        ("store", DEVICE + 0x1004, 1, 0x88),
    ]


def test_a_load_across_pages_is_put_together_from_aligned_pieces(guest: Machine) -> None:
    guest.bus.answers = {
        DEVICE + 0xFFD: [0x11],
        DEVICE + 0xFFE: [0x3322],
        DEVICE + 0x1000: [0x7766_5544],
        DEVICE + 0x1004: [0x88],
    }
    # mov rax, [rdi]
    guest.run("48 8b 07" + X86_STOP, **{"rdi": DEVICE + 0xFFD, **long_mode(guest.memory)})
    assert guest.vcpu.registers()["rax"] == 0x8877_6655_4433_2211


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("f3 6e", 1),  # rep outsb
        ("f3 66 6f", 2),  # rep outsw
        ("f3 6f", 4),  # rep outsd
    ],
)
def test_string_output_comes_element_by_element(guest: Machine, code: str, size: int) -> None:
    data = bytes(range(1, 1 + 20 * size))
    guest.memory.write(0x3000, data)
    accesses = guest.run(code + X86_STOP, rsi=0x3000, rcx=20)
    elements = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
    assert accesses == [("out", 0x3F8, size, element) for element in elements]
    assert guest.vcpu.registers()["rcx"] == 0


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("f3 6c", 1),  # rep insb
        ("f3 66 6d", 2),  # rep insw
        ("f3 6d", 4),  # rep insd
    ],
)
def test_string_input_fills_memory_in_order(guest: Machine, code: str, size: int) -> None:
    # More than there can be elements: KVM may read ahead and throw away.
    elements = [number * 3 + 1 for number in range(64)]
    guest.bus.answers[0x3F8] = list(elements)
    guest.run(code + X86_STOP, rdi=0x3000, rcx=20)
    wanted = b"".join(element.to_bytes(size, "little") for element in elements[:20])
    assert guest.memory.read(0x3000, 20 * size) == wanted


def test_ram_is_shared_with_the_guest(guest: Machine) -> None:
    guest.memory.write_u32(0x3000, 0x1234_5678)
    # mov eax, [0x3000]; inc eax; mov [0x3004], eax
    assert guest.run("a1 00 30 00 00  40  a3 04 30 00 00" + X86_STOP) == []
    assert guest.memory.read_u32(0x3004) == 0x1234_5679


# ---- Ends ----


def test_a_triple_fault_is_a_crash(guest: Machine) -> None:
    guest.load("0f 0b")  # ud2, without an IDT
    assert guest.vcpu.run() == Crashed("triple fault")


def test_an_instruction_that_kvm_cannot_emulate_is_named(guest: Machine) -> None:
    guest.load("66 0f ef 07", cr4=0x200)  # pxor xmm0, [edi]
    exit_ = guest.vcpu.run()
    assert isinstance(exit_, InternalError)
    assert "KVM_INTERNAL_ERROR_EMULATION" in exit_.reason
    assert exit_.instruction.startswith(bytes.fromhex("66 0f ef 07"))


def test_running_out_of_ram_is_an_internal_error(guest: Machine) -> None:
    guest.load("ff e7")  # jmp edi
    exit_ = guest.vcpu.run()
    assert isinstance(exit_, InternalError)
    assert "KVM_INTERNAL_ERROR_EMULATION" in exit_.reason


# ---- Registers ----


def test_registers_come_back_as_they_were_set(guest: Machine) -> None:
    numbers = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip")
    numbers += tuple(f"r{number}" for number in range(8, 16))
    wanted: dict[str, object] = {name: 0x1000 + index for index, name in enumerate(numbers)}
    wanted |= {
        "rflags": 0x46,
        "cr0": 0x11,
        "cr2": 0x1234_5000,
        "cr3": 0x3000,
        "cr4": 0x10,
        "cs": Segment(0x08, 0, 0xFFFF_FFFF, 0xC09B),
        "ds": Segment(0x13, 0x1000, 0xFFFF, 0x50F3),
        "es": Segment(0x10, 0, 0xFFFF_FFFF, 0xC093),
        "fs": Segment(0x10, 0x2000, 0xFFFF_FFFF, 0xC093),
        "gs": Segment(0x10, 0x3000, 0xFFFF_FFFF, 0xC093),
        "ss": Segment(0x10, 0, 0xFFFF_FFFF, 0xC093),
        "tr": Segment(0x28, 0x4000, 0x67, 0x8B),
        "gdtr": DescriptorTable(0x5000, 0x2F),
        "idtr": DescriptorTable(0x6000, 0x7FF),
    }
    guest.vcpu.set_registers(wanted)
    registers = guest.vcpu.registers()
    assert {name: registers[name] for name in wanted} == wanted
    assert set(registers) == set(wanted) | {"efer", "ldt"}


def test_registers_not_named_keep_their_values(guest: Machine) -> None:
    guest.vcpu.set_registers({"rax": 1, "rbx": 2})
    guest.vcpu.set_registers({"rbx": 3, "cr2": 4})
    registers = guest.vcpu.registers()
    assert (registers["rax"], registers["rbx"], registers["cr2"]) == (1, 3, 4)


def test_an_unknown_register_is_refused_before_anything_is_set(guest: Machine) -> None:
    with pytest.raises(ValueError, match="x86_64 has no register 'x0'"):
        guest.vcpu.set_registers({"rax": 1, "x0": 2})
    assert guest.vcpu.registers()["rax"] == 0


def test_contradicting_registers_are_refused_by_name(guest: Machine) -> None:
    # Long mode active without paging.
    with pytest.raises(KvmError, match=r"KVM_SET_SREGS \(control registers of vCPU 0\).*EINVAL"):
        guest.vcpu.set_registers({"efer": 0x500, "cr0": 0x8000_0011, "cr4": 0})


def test_translate_follows_the_page_tables(guest: Machine) -> None:
    guest.vcpu.set_registers({**start_state(), **long_mode(guest.memory)})
    assert guest.vcpu.translate(0x12_3456) == 0x12_3456
    assert guest.vcpu.translate(1 << 30) is None
    # A second page directory entry for the same RAM.
    guest.memory.write_u64(0x8_1000 + 8, 0x8_2000 | 3)
    guest.vcpu.set_registers({"cr3": 0x8_0000})
    assert guest.vcpu.translate((1 << 30) + 0x12_3456) == 0x12_3456


def test_translate_without_paging_is_the_identity(guest: Machine) -> None:
    guest.vcpu.set_registers(start_state())
    assert guest.vcpu.translate(0x12_3456) == 0x12_3456


# ---- Processors ----


def test_cpuid_tells_of_a_hypervisor(guest: Machine) -> None:
    # mov eax, 1; cpuid; xchg eax, ecx; mov dx, 0x3f8; out dx, eax
    accesses = guest.run("b8 01 00 00 00 0f a2 91 66 ba f8 03 ef" + X86_STOP)
    assert accesses[0][3] >> 31 == 1


def test_each_vcpu_has_its_own_apic_id(guest: Machine) -> None:
    second = guest.vm.create_vcpu(1, guest.bus)
    # The second one starts at 0x8000 in real mode:
    # mov eax, 1; cpuid; shr ebx, 24; mov al, bl; out 0x11, al; cli; hlt
    guest.memory.write(
        0x8000, bytes.fromhex("66 b8 01 00 00 00 0f a2 66 c1 eb 18 88 d8 e6 11 fa f4")
    )
    # The first one says who it is, then starts the other:
    # mov eax, 1; cpuid; shr ebx, 24; mov al, bl; out 0x10, al
    code = "b8 01 00 00 00 0f a2 c1 eb 18 88 d8 e6 10"
    # mov dword [ICR_HIGH], 1 << 24; mov dword [ICR_LOW], INIT; the same, STARTUP at page 8; stop
    code += "c7 05 10 03 e0 fe 00 00 00 01  c7 05 00 03 e0 fe 00 45 00 00"
    code += "c7 05 00 03 e0 fe 08 46 00 00" + X86_STOP
    started = threading.Event()
    guest.bus.hook = lambda address: started.set() if address == 0x11 else None
    guest.load(ENABLE_APIC + code)
    thread = threading.Thread(target=second.run)
    thread.start()
    assert guest.vcpu.run() == Interrupted()
    assert started.wait(10)
    second.kick()
    thread.join()
    assert guest.bus.accesses == [("out", 0x10, 1, 0), ("out", 0x11, 1, 1)]


def test_the_counter_runs_at_the_frequency_told(guest: Machine) -> None:
    times = []
    guest.bus.hook = lambda address: (times.append(time.monotonic()), time.sleep(0.05))
    # rdtsc; out 0x10, eax; rdtsc; out 0x10, eax
    accesses = guest.run("0f 31 e7 10  0f 31 e7 10" + X86_STOP)
    ticks = (accesses[1][3] - accesses[0][3]) % (1 << 32)
    assert ticks / (times[1] - times[0]) == pytest.approx(guest.vm.counter_hz, rel=0.2)


def test_events_of_ports_do_not_leave_the_guest(guest: Machine) -> None:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    guest.vm.ioeventfd(fd, 0x3F8, 1, port=True)
    # out dx, al; out dx, al; out dx, eax
    assert guest.run("ee ee ef" + X86_STOP, rax=5) == [("out", 0x3F8, 4, 5)]
    assert os.eventfd_read(fd) == 2
    guest.vm.remove_ioeventfd(fd, 0x3F8, 1, port=True)
    guest.bus.accesses.clear()
    assert guest.run("ee" + X86_STOP, rax=5) == [("out", 0x3F8, 1, 5)]
    os.close(fd)


def test_programs_start_where_the_tests_say(guest: Machine) -> None:
    assert guest.run(X86_STOP) == []
    assert guest.vcpu.registers()["rip"] == PROGRAM + 2
    assert guest.vcpu.registers()["rsp"] == RAM_SIZE
