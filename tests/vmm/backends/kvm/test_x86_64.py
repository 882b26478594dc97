from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.vmm.backends.kvm.machines import (
    DEVICE,
    PROGRAM,
    RAM_SIZE,
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

STOP = "e6 80"  # out 0x80, al

IDT = 0x6000
GDT = 0x5000
HANDLER = 0x7000

MSI = 0xFEE0_0000  # to APIC 0, physical


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
    assert guest.run(code + STOP, rax=0x4433_2211) == [("out", 0x3F8, size, value)]


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
    guest.run(code + STOP, rax=0xFFFF_FFFF)
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
    accesses = guest.run(code + STOP, rax=0x8877_6655_4433_2211, **long_mode(guest.memory))
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
    accesses = guest.run(code + STOP, **long_mode(guest.memory))
    assert accesses == [("load", DEVICE, size, value)]
    assert guest.vcpu.registers()["rax"] == value


def test_a_store_across_pages_comes_in_aligned_pieces(guest: Machine) -> None:
    # mov [rdi], rax
    accesses = guest.run(
        "48 89 07" + STOP,
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
    guest.run("48 8b 07" + STOP, **{"rdi": DEVICE + 0xFFD, **long_mode(guest.memory)})
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
    accesses = guest.run(code + STOP, rsi=0x3000, rcx=20)
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
    guest.run(code + STOP, rdi=0x3000, rcx=20)
    wanted = b"".join(element.to_bytes(size, "little") for element in elements[:20])
    assert guest.memory.read(0x3000, 20 * size) == wanted


def test_ram_is_shared_with_the_guest(guest: Machine) -> None:
    guest.memory.write_u32(0x3000, 0x1234_5678)
    # mov eax, [0x3000]; inc eax; mov [0x3004], eax
    assert guest.run("a1 00 30 00 00  40  a3 04 30 00 00" + STOP) == []
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


# ---- Interrupts ----


class Pic:
    """A controller with a queue of requests, which drives the pin as an 8259 does."""

    def __init__(self, guest: Machine) -> None:
        self.guest = guest
        self.vectors: list[int] = []
        self.acknowledged: list[tuple[int, int]] = []
        self.pin = guest.vcpu.connect_interrupts(self)

    def request(self, vector: int) -> None:
        with self.guest.bus.lock:
            self.vectors.append(vector)
            self.pin(True)

    def pending(self) -> bool:
        return bool(self.vectors)

    def acknowledge(self) -> int:
        vector = self.vectors.pop(0)
        self.acknowledged.append((vector, len(self.guest.bus.accesses)))
        self.pin(self.pending())
        return vector


# mov dword [SVR], enabled | 0xff
ENABLE_APIC = "c7 05 f0 00 e0 fe ff 01 00 00"
# out dx, eax; sti; jmp to itself
HANDLER_CODE = "ef fb eb fe"
INTERRUPT = ("out", 0x3F8, 4, 7)

# out 0x10, al; sti; jmp to itself
WAIT = "e6 10 fb eb fe"
# sti; hlt; jmp to itself
SLEEP = "fb f4 eb fe"
FIRST = ("out", 0x10, 1, 7)


def run_with_interrupts(
    guest: Machine, code: str, last: int = 0, handler: str = HANDLER_CODE
) -> list[tuple[str, int, int, int]]:
    """Run ``code`` until its access number ``last``; all vectors lead to ``handler``.

    Handlers do not return: not every KVM emulates IRET in protected mode.
    """
    guest.memory.write_u64(GDT + 8, 0x00CF_9B00_0000_FFFF)
    guest.memory.write_u64(GDT + 16, 0x00CF_9300_0000_FFFF)
    for vector in range(256):
        guest.memory.write_u64(IDT + 8 * vector, 0x0000_8E00_0008_0000 | HANDLER)
    guest.memory.write(HANDLER, bytes.fromhex(handler))
    guest.bus.last = last
    tables = {"gdtr": DescriptorTable(GDT, 23), "idtr": DescriptorTable(IDT, 0x7FF)}
    return guest.run(code, rax=7, **tables)


@contextmanager
def soon(action: Callable[..., object], *arguments: object) -> Iterator[None]:
    """Do something in another thread, when the guest has had time to go to sleep."""
    alarm = threading.Timer(0.05, action, arguments)
    alarm.start()
    yield
    alarm.join()


def test_an_external_interrupt_is_taken_where_interrupts_are_enabled(guest: Machine) -> None:
    pic = Pic(guest)
    pic.request(0x30)
    assert run_with_interrupts(guest, WAIT, 2) == [FIRST, INTERRUPT]
    # The acknowledge cycle came after the first access, when the processor took the interrupt.
    assert pic.acknowledged == [(0x30, 1)]


def test_external_interrupts_stay_pending_while_disabled(guest: Machine) -> None:
    pic = Pic(guest)
    pic.request(0x30)
    # out 0x10, al; nop; stop
    assert run_with_interrupts(guest, "e6 10 90" + STOP) == [FIRST]
    assert pic.acknowledged == []


def test_a_withdrawn_request_is_not_acknowledged(guest: Machine) -> None:
    pic = Pic(guest)
    pic.request(0x30)
    guest.bus.hook = lambda address: pic.pin(False)
    # out 0x10, al; sti; nop; nop; out 0x10, al; stop
    assert run_with_interrupts(guest, "e6 10 fb 90 90 e6 10" + STOP) == [FIRST, FIRST]
    assert pic.acknowledged == []


def test_one_request_after_the_other_is_taken(guest: Machine) -> None:
    pic = Pic(guest)
    for vector in (0x30, 0x31, 0x32):
        pic.request(vector)
    assert run_with_interrupts(guest, WAIT, 4) == [FIRST, *[INTERRUPT] * 3]
    assert pic.acknowledged == [(0x30, 1), (0x31, 2), (0x32, 3)]


def test_an_interrupt_requested_by_an_access_is_taken_after_it(guest: Machine) -> None:
    pic = Pic(guest)
    guest.bus.hook = lambda address: pic.request(0x30) if address == 0x10 else None
    # sti; out 0x10, al; jmp to itself
    assert run_with_interrupts(guest, "fb e6 10 eb fe", 2) == [FIRST, INTERRUPT]


def test_an_external_interrupt_from_another_thread_wakes_a_halted_vcpu(guest: Machine) -> None:
    pic = Pic(guest)
    with soon(pic.request, 0x30):
        assert run_with_interrupts(guest, SLEEP, 1) == [INTERRUPT]


def test_an_external_interrupt_outlasts_a_kick(guest: Machine) -> None:
    pic = Pic(guest)
    pic.request(0x30)
    # out 0x10, al: the last access of the first run
    assert run_with_interrupts(guest, WAIT, 1) == [FIRST]
    guest.bus.last = 2
    assert guest.vcpu.run() == Interrupted()
    assert guest.bus.accesses == [FIRST, INTERRUPT]


def test_the_local_apic_can_shut_the_8259_out_and_let_it_in(guest: Machine) -> None:
    pic = Pic(guest)
    pic.request(0x30)
    # mov dword [LINT0], masked ExtINT; sti; nop; out 0x10, al
    code = "c7 05 50 03 e0 fe 00 07 01 00  fb 90  e6 10"
    # mov dword [LINT0], ExtINT; jmp to itself
    code += "c7 05 50 03 e0 fe 00 07 00 00  eb fe"
    assert run_with_interrupts(guest, ENABLE_APIC + code, 2) == [FIRST, INTERRUPT]


# out dx, eax; mov dword [EOI], 0; sti; jmp to itself
EOI_HANDLER = "ef c7 05 b0 00 e0 fe 00 00 00 00 fb eb fe"
LEVEL = 1 << 15 | 1 << 14


def test_a_message_reaches_the_local_apic(guest: Machine) -> None:
    guest.bus.hook = lambda address: address == 0x10 and guest.vm.signal_msi(MSI, 0x40)
    assert run_with_interrupts(guest, ENABLE_APIC + WAIT, 2) == [FIRST, INTERRUPT]


def test_a_message_wakes_a_halted_vcpu(guest: Machine) -> None:
    with soon(guest.vm.signal_msi, MSI, 0x40):
        assert run_with_interrupts(guest, ENABLE_APIC + SLEEP, 1) == [INTERRUPT]


def test_a_message_to_nobody_is_lost(guest: Machine) -> None:
    guest.vm.signal_msi(MSI | 77 << 12, 0x40)


def test_a_message_after_the_end_is_lost(guest: Machine) -> None:
    guest.vm.close()
    guest.vm.signal_msi(MSI, 0x40)


class EndOfInterrupts:
    def __init__(self) -> None:
        self.vectors: list[int] = []

    def end_of_interrupt(self, vector: int) -> None:
        self.vectors.append(vector)


def test_the_end_of_a_watched_interrupt_is_told(guest: Machine) -> None:
    told = EndOfInterrupts()
    guest.vm.connect_end_of_interrupt(told)
    guest.vm.watch_vectors({4: (MSI, LEVEL | 0x40)})

    def send(address: int) -> None:
        if address == 0x10:
            guest.vm.signal_msi(MSI, LEVEL | 0x40)
            guest.vm.signal_msi(MSI, 0x41)

    guest.bus.hook = send
    handler = EOI_HANDLER[:-6] + "e6 11 fb eb fe"  # out 0x11, al after the EOI
    accesses = run_with_interrupts(guest, ENABLE_APIC + WAIT, 5, handler)
    assert accesses == [FIRST, *[INTERRUPT, ("out", 0x11, 1, 7)] * 2]
    # Vector 0x41 has an end as well, but nobody watches it.
    assert told.vectors == [0x40]


def test_an_eventfd_interrupts_by_the_message_of_its_route(guest: Machine) -> None:
    guest.vm.route_message(30, MSI, 0x50)
    guest.vm.watch_vectors({1: (MSI, 0x40)})
    guest.vm.watch_vectors({})
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    guest.vm.irqfd(fd, 30)
    with soon(os.eventfd_write, fd, 1):
        assert run_with_interrupts(guest, ENABLE_APIC + SLEEP, 1) == [INTERRUPT]
    guest.vm.remove_irqfd(fd, 30)
    os.close(fd)


def test_an_eventfd_can_drive_a_pin_of_the_io_apic(guest: Machine) -> None:
    guest.vm.watch_vectors({4: (MSI, 0x40)})
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    guest.vm.irqfd(fd, 4)
    with soon(os.eventfd_write, fd, 1):
        assert run_with_interrupts(guest, ENABLE_APIC + SLEEP, 1) == [INTERRUPT]
    os.close(fd)


# ---- Processors ----


def test_cpuid_tells_of_a_hypervisor(guest: Machine) -> None:
    # mov eax, 1; cpuid; xchg eax, ecx; mov dx, 0x3f8; out dx, eax
    accesses = guest.run("b8 01 00 00 00 0f a2 91 66 ba f8 03 ef" + STOP)
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
    code += "c7 05 00 03 e0 fe 08 46 00 00" + STOP
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
    accesses = guest.run("0f 31 e7 10  0f 31 e7 10" + STOP)
    ticks = (accesses[1][3] - accesses[0][3]) % (1 << 32)
    assert ticks / (times[1] - times[0]) == pytest.approx(guest.vm.counter_hz, rel=0.2)


def test_events_of_ports_do_not_leave_the_guest(guest: Machine) -> None:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    guest.vm.ioeventfd(fd, 0x3F8, 1, port=True)
    # out dx, al; out dx, al; out dx, eax
    assert guest.run("ee ee ef" + STOP, rax=5) == [("out", 0x3F8, 4, 5)]
    assert os.eventfd_read(fd) == 2
    guest.vm.remove_ioeventfd(fd, 0x3F8, 1, port=True)
    guest.bus.accesses.clear()
    assert guest.run("ee" + STOP, rax=5) == [("out", 0x3F8, 1, 5)]
    os.close(fd)


def test_programs_start_where_the_tests_say(guest: Machine) -> None:
    assert guest.run(STOP) == []
    assert guest.vcpu.registers()["rip"] == PROGRAM + 2
    assert guest.vcpu.registers()["rsp"] == RAM_SIZE
