"""KVM on x86_64: external interrupts, messages, event descriptors, the ends of interrupts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.vmm.backends.kvm.machines import ENABLE_APIC, X86_STOP, Machine, machine
from vmm.arch import X86_64, host_arch
from vmm.backends.exits import Interrupted
from vmm.backends.registers import DescriptorTable

if host_arch() != X86_64:
    pytest.skip("needs an x86_64 host", allow_module_level=True)

pytestmark = pytest.mark.kvm

IDT = 0x6000
GDT = 0x5000
HANDLER = 0x7000

MSI = 0xFEE0_0000  # to APIC 0, physical


@pytest.fixture
def guest() -> Iterator[Machine]:
    with machine() as made:
        yield made


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
    assert run_with_interrupts(guest, "e6 10 90" + X86_STOP) == [FIRST]
    assert pic.acknowledged == []


def test_a_withdrawn_request_is_not_acknowledged(guest: Machine) -> None:
    pic = Pic(guest)
    pic.request(0x30)
    guest.bus.hook = lambda address: pic.pin(False)
    # out 0x10, al; sti; nop; nop; out 0x10, al; stop
    assert run_with_interrupts(guest, "e6 10 fb 90 90 e6 10" + X86_STOP) == [FIRST, FIRST]
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
    guest.bus.hook = lambda address: guest.vm.signal_msi(MSI | 77 << 12, 0x40)
    # out 0x10, al; sti; nop; nop; stop
    assert run_with_interrupts(guest, ENABLE_APIC + "e6 10 fb 90 90" + X86_STOP) == [FIRST]


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
