from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.vmm.backends.kvm.machines import (
    DEVICE,
    EL1H_MASKED,
    PROGRAM,
    RAM,
    SPIN,
    STORE,
    Machine,
    machine,
)
from vmm.arch import ARM64, host_arch
from vmm.backends.exits import InternalError, Interrupted, Reset, Shutdown
from vmm.backends.kvm.errors import KvmError
from vmm.errors import BackendUnavailable

if host_arch() != ARM64:
    pytest.skip("needs an arm64 host", allow_module_level=True)

pytestmark = pytest.mark.kvm

STOP = "40 00 00 b9"  # str w0, [x2]
HVC = "02 00 00 d4"  # hvc #0

PSCI_CPU_ON = 0xC400_0003
PSCI_SYSTEM_OFF = 0x8400_0008
PSCI_SYSTEM_RESET = 0x8400_0009


@pytest.fixture
def guest() -> Iterator[Machine]:
    with machine() as made:
        yield made


# ---- Accesses ----


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("20 00 00 39", 1),  # strb w0, [x1]
        ("20 00 00 79", 2),  # strh w0, [x1]
        ("20 00 00 b9", 4),  # str w0, [x1]
        ("20 00 00 f9", 8),  # str x0, [x1]
    ],
)
def test_stores_carry_their_size_and_value(guest: Machine, code: str, size: int) -> None:
    value = 0x8877_6655_4433_2211 & (1 << 8 * size) - 1
    accesses = guest.run(code + STOP, x0=0x8877_6655_4433_2211)
    assert accesses == [("store", DEVICE, size, value)]


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("20 00 40 39", 1),  # ldrb w0, [x1]
        ("20 00 40 79", 2),  # ldrh w0, [x1]
        ("20 00 40 b9", 4),  # ldr w0, [x1]
        ("20 00 40 f9", 8),  # ldr x0, [x1]
    ],
)
def test_loads_get_their_answer(guest: Machine, code: str, size: int) -> None:
    value = 0x8877_6655_4433_2211 & (1 << 8 * size) - 1
    guest.bus.answers[DEVICE] = [value]
    assert guest.run(code + STOP) == [("load", DEVICE, size, value)]
    assert guest.vcpu.registers()["x0"] == value


def test_events_of_addresses_do_not_leave_the_guest(guest: Machine) -> None:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    guest.vm.ioeventfd(fd, DEVICE, 4)
    # str w0, [x1]; str w0, [x1]; strb w0, [x1]
    accesses = guest.run("20 00 00 b9  20 00 00 b9  20 00 00 39" + STOP, x0=5)
    assert accesses == [("store", DEVICE, 1, 5)]
    assert os.eventfd_read(fd) == 2
    os.close(fd)


# ---- Ends ----


@pytest.mark.parametrize(
    ("function", "exit_"), [(PSCI_SYSTEM_OFF, Shutdown()), (PSCI_SYSTEM_RESET, Reset())]
)
def test_psci_ends_the_machine(guest: Machine, function: int, exit_: object) -> None:
    guest.load(HVC + SPIN, x0=function)
    assert guest.vcpu.run() == exit_


@pytest.mark.parametrize(
    "code",
    [
        "20 0c 00 a9",  # stp x0, x3, [x1]
        "20 84 00 f8",  # str x0, [x1], #8
    ],
    ids=["pair", "write-back"],
)
def test_an_access_that_kvm_cannot_decode_is_an_internal_error(guest: Machine, code: str) -> None:
    guest.load(code + SPIN)
    exit_ = guest.vcpu.run()
    assert isinstance(exit_, InternalError)
    assert f"{DEVICE:#x}" in exit_.reason
    assert exit_.instruction == bytes.fromhex(code)


# ---- Registers ----


def test_registers_come_back_as_they_were_set(guest: Machine) -> None:
    wanted = {f"x{number}": 0x1000 + number for number in range(31)}
    names = "sp_el0 sp_el1 elr_el1 spsr_el1 ttbr0_el1 ttbr1_el1 vbar_el1 far_el1 esr_el1"
    for number, name in enumerate((names + " mair_el1 tpidr_el0 tpidr_el1").split()):
        wanted[name] = 0x1_0000 * (number + 1)
    wanted |= {"pc": PROGRAM, "pstate": EL1H_MASKED, "cpacr_el1": 3 << 20}
    wanted |= {"tcr_el1": 0x10, "sctlr_el1": 0x30D0_0800}
    guest.vcpu.set_registers(wanted)
    registers = guest.vcpu.registers()
    assert {name: registers[name] for name in wanted} == wanted
    assert set(registers) == {*wanted, "sp"}


@pytest.mark.parametrize(
    ("pstate", "meant"), [(0x3C5, "sp_el1"), (0x3C4, "sp_el0"), (0x3C0, "sp_el0")]
)
def test_sp_is_that_of_the_current_level(guest: Machine, pstate: int, meant: str) -> None:
    # The order of the names plays no part.
    guest.vcpu.set_registers({"sp": 0x4000_8000, "sp_el0": 1, "sp_el1": 2, "pstate": pstate})
    registers = guest.vcpu.registers()
    assert registers["sp"] == 0x4000_8000
    assert registers[meant] == 0x4000_8000


def test_an_unknown_register_is_refused_before_anything_is_set(guest: Machine) -> None:
    with pytest.raises(ValueError, match="arm64 has no register 'rax'"):
        guest.vcpu.set_registers({"x0": 1, "rax": 2})
    assert guest.vcpu.registers()["x0"] == 0


def test_a_wrong_value_is_refused_by_name(guest: Machine) -> None:
    with pytest.raises(KvmError, match=r"KVM_SET_ONE_REG \(register pstate of vCPU 0\).*EINVAL"):
        guest.vcpu.set_registers({"pstate": 0x3C1})


def test_translate_follows_the_page_tables(guest: Machine) -> None:
    # 39-bit addresses in 4 KiB granules: one block of 1 GiB.
    tables = RAM + 0x4000
    guest.memory.write_u64(tables + 8, RAM | 0x401)
    guest.vcpu.set_registers({"ttbr0_el1": tables, "tcr_el1": 25, "sctlr_el1": 0x30D0_0801})
    assert guest.vcpu.translate(RAM + 0x12345) == RAM + 0x12345
    assert guest.vcpu.translate(0x8000_0000) is None


# ---- Interrupts ----

DISTRIBUTOR = 0x0800_0000
CPU_INTERFACE = 0x0801_0000
REDISTRIBUTOR = 0x080A_0000

SPI = 40
VECTORS = RAM + 0x8000
TABLE = RAM + 0x3000

# ldp x4, x5, [x3], #16; cbz x4, out; str w5, [x4]; b back
STORE_TABLE = "64 14 c1 a8  64 00 00 b4  85 00 00 b9  fd ff ff 17"
ENABLE_AND_SLEEP = "ff 42 03 d5  7f 20 03 d5  ff ff ff 17"  # msr daifclr, #2; wfi; b back

GICV2 = {
    DISTRIBUTOR + 0x000: 1,  # GICD_CTLR: enable
    DISTRIBUTOR + 0x104: 1 << SPI - 32,  # GICD_ISENABLER1
    DISTRIBUTOR + 0x800 + SPI: 1,  # GICD_ITARGETSR10: CPU 0
    DISTRIBUTOR + 0xC08: 0,  # GICD_ICFGR2: level-triggered
    CPU_INTERFACE + 0x004: 0xFF,  # GICC_PMR: any priority
    CPU_INTERFACE + 0x000: 1,  # GICC_CTLR: enable
}
GICV3 = {
    DISTRIBUTOR + 0x000: 0x12,  # GICD_CTLR: ARE_NS, EnableGrp1A
    DISTRIBUTOR + 0x084: 1 << SPI - 32,  # GICD_IGROUPR1: group 1
    DISTRIBUTOR + 0x104: 1 << SPI - 32,  # GICD_ISENABLER1
    DISTRIBUTOR + 0xC08: 0,  # GICD_ICFGR2: level-triggered; KVM starts with edges
    REDISTRIBUTOR + 0x014: 0,  # GICR_WAKER: awake
}


def load_interrupted_program(guest: Machine, version: int) -> None:
    """Load a program that sets the GIC up, sleeps, and stores the number of its interrupt."""
    if version == 2:
        guest.vm.create_gic(2, DISTRIBUTOR, CPU_INTERFACE)
        stores, enable = GICV2, ""
        acknowledge = "c4 0c 40 b9"  # ldr w4, [x6, #12]: GICC_IAR
    else:
        guest.vm.create_gic(3, DISTRIBUTOR, REDISTRIBUTOR)
        stores = GICV3
        enable = "07 46 18 d5  e8 cc 18 d5"  # msr icc_pmr_el1, x7; msr icc_igrpen1_el1, x8
        acknowledge = "04 cc 38 d5"  # mrs x4, icc_iar1_el1
    for index, (address, word) in enumerate([*stores.items(), (0, 0)]):
        guest.memory.write_u64(TABLE + 16 * index, address)
        guest.memory.write_u64(TABLE + 16 * index + 8, word)
    # IRQ from the current level on its own stack pointer; then: str w4, [x1]; str w0, [x2]
    guest.memory.write(VECTORS + 0x280, bytes.fromhex(acknowledge + "24 00 00 b9" + STOP))
    guest.load(
        STORE_TABLE + enable + ENABLE_AND_SLEEP,
        x3=TABLE,
        x6=CPU_INTERFACE,
        x7=0xFF,
        x8=1,
        vbar_el1=VECTORS,
    )


@contextmanager
def soon(action: Callable[..., object], *arguments: object) -> Iterator[None]:
    """Do something in another thread, when the guest has had time to go to sleep."""
    alarm = threading.Timer(0.05, action, arguments)
    alarm.start()
    yield
    alarm.join()


def test_a_line_wakes_a_sleeping_vcpu_through_a_gicv3(guest: Machine) -> None:
    load_interrupted_program(guest, 3)
    with soon(guest.vm.interrupt_line(SPI), True):
        assert guest.vcpu.run() == Interrupted()
    assert guest.bus.accesses == [("store", DEVICE, 4, SPI)]


def test_a_lowered_line_interrupts_nobody(guest: Machine) -> None:
    load_interrupted_program(guest, 3)
    line = guest.vm.interrupt_line(SPI)
    for levels in [], [True, True, False]:
        for level in levels:
            line(level)
        with soon(guest.vcpu.kick):
            assert guest.vcpu.run() == Interrupted()
    assert guest.bus.accesses == []


def test_a_line_after_the_end_has_no_effect(guest: Machine) -> None:
    line = guest.vm.interrupt_line(SPI)
    guest.vm.close()
    line(True)


def test_an_eventfd_interrupts_through_a_gicv3(guest: Machine) -> None:
    load_interrupted_program(guest, 3)
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    guest.vm.irqfd(fd, SPI - 32)
    with soon(os.eventfd_write, fd, 1):
        assert guest.vcpu.run() == Interrupted()
    assert guest.bus.accesses == [("store", DEVICE, 4, SPI)]
    guest.vm.remove_irqfd(fd, SPI - 32)
    os.close(fd)


def test_a_gicv2_works_or_is_refused_with_its_name(guest: Machine) -> None:
    refused = None
    try:
        load_interrupted_program(guest, 2)
    except BackendUnavailable as error:
        refused = str(error)
    if refused is not None:
        assert "this host's KVM has no GICv2: KVM_CREATE_DEVICE (GICv2)" in refused
        return
    with soon(guest.vm.interrupt_line(SPI), True):
        assert guest.vcpu.run() == Interrupted()
    assert guest.bus.accesses == [("store", DEVICE, 4, SPI)]


@pytest.mark.parametrize("intid", [0, 31, 256, 1020])
def test_only_shared_peripheral_interrupts_have_lines(guest: Machine, intid: int) -> None:
    guest.vm.create_gic(3, DISTRIBUTOR, REDISTRIBUTOR)
    with pytest.raises(ValueError, match=f"INTID {intid}"):
        guest.vm.interrupt_line(intid)


# ---- Processors ----


def test_a_second_vcpu_waits_until_psci_starts_it(guest: Machine) -> None:
    second = guest.vm.create_vcpu(1, guest.bus)
    entry, context = RAM + 0x2000, DEVICE
    guest.memory.write(entry, bytes.fromhex("00 00 00 f9" + SPIN))  # str x0, [x0]
    # Its store, not the first one's, is the last access.
    guest.bus.last = 1
    guest.load(HVC + SPIN, x0=PSCI_CPU_ON, x1=1, x2=entry, x3=context)
    thread = threading.Thread(target=second.run)
    thread.start()
    assert guest.vcpu.run() == Interrupted()
    second.kick()
    thread.join()
    assert guest.bus.accesses == [("store", DEVICE, 8, DEVICE)]


def test_each_vcpu_has_its_own_affinity(guest: Machine) -> None:
    second = guest.vm.create_vcpu(1, guest.bus)
    # mrs x0, mpidr_el1; and x0, x0, #0xff; str w0, [x1]
    code = bytes.fromhex("a0 00 38 d5  00 1c 40 92" + STORE + SPIN)
    guest.bus.last = 1
    guest.run(code.hex())
    # It enters with its x0 only: mov x1, #DEVICE comes first.
    guest.memory.write(RAM + 0x2000, bytes.fromhex("01 40 a1 d2") + code)
    guest.bus.last = 2
    guest.load(HVC + SPIN, x0=PSCI_CPU_ON, x1=1, x2=RAM + 0x2000)
    thread = threading.Thread(target=second.run)
    thread.start()
    assert guest.vcpu.run() == Interrupted()
    second.kick()
    thread.join()
    assert [value for _, _, _, value in guest.bus.accesses] == [0, 1]
