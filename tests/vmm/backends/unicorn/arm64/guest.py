"""Small arm64 guests on the Unicorn backend: a program in assembly, a recorded bus, a clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.vmm.backends.assemble import Program, assemble
from vmm.backends.unicorn import open_unicorn
from vmm.backends.unicorn.arm64.vcpu import Arm64Vcpu
from vmm.machine.clock import MachineClock
from vmm.memory import Gpa, GuestMemory

if TYPE_CHECKING:
    from vmm.backends.api import Exit

RAM_BASE = 0x4000_0000
RAM_SIZE = 16 << 20
CODE = RAM_BASE + 0x8_0000
STACK = RAM_BASE + 0x7_0000

# Far above RAM, as the alias of a realm's device is.
DEVICE = 0x101_0900_0000

MACROS = """
.macro load register, value
    movz \\register, #((\\value) & 0xffff)
    movk \\register, #(((\\value) >> 16) & 0xffff), lsl #16
    movk \\register, #(((\\value) >> 32) & 0xffff), lsl #32
    movk \\register, #(((\\value) >> 48) & 0xffff), lsl #48
.endm
.macro psci function
    load x0, \\function
    hvc #0
.endm
.macro power_off
    psci 0x84000008
.endm
/* Sixteen vectors that all go to one handler, at the label `vectors`. */
.macro vectors handler
    .balign 2048
vectors:
    .rept 16
    b \\handler
    .balign 128
    .endr
.endm
/* Translation on: RAM at its own addresses, and at 0xffffff8000000000 + offset, for EL1; 2 MiB at
   0x80000000 of virtual memory for EL0, which are the 2 MiB at 0x40200000; all else unmapped. */
.macro mmu_on
    adr x0, table_low
    load x1, 0x40000040000705
    str x1, [x0, #8]
    adr x1, table_user
    orr x1, x1, #3
    str x1, [x0, #16]
    adr x0, table_user
    load x1, 0x40200745
    str x1, [x0]
    adr x0, table_high
    load x1, 0x40000705
    str x1, [x0]
    load x0, 0xff00
    msr mair_el1, x0
    adr x0, table_low
    msr ttbr0_el1, x0
    adr x0, table_high
    msr ttbr1_el1, x0
    load x0, (25 | 25 << 16 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30)
    msr tcr_el1, x0
    isb
    tlbi vmalle1
    dsb sy
    mrs x0, sctlr_el1
    load x1, 0x1005
    orr x0, x0, x1
    msr sctlr_el1, x0
    isb
.endm
.macro tables
    .balign 4096
    table_low: .space 4096
    table_high: .space 4096
    table_user: .space 4096
.endm
"""


def program(source: str) -> Program:
    """Assemble ``source`` with `MACROS`, to run at `CODE`."""
    return assemble("arm64", MACROS + source, CODE)


class Devices:
    """An `AccessHandler` that records accesses and answers reads as told."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.accesses: list[tuple[str, int, int, int]] = []
        self.on_read: Callable[[int, int], int] = lambda address, size: 0
        self.on_write: Callable[[int, int, int], None] = lambda address, size, value: None

    def mmio_read(self, address: int, size: int) -> int:
        value = self.on_read(address, size)
        self.accesses.append(("read", address, size, value))
        return value

    def mmio_write(self, address: int, size: int, value: int) -> None:
        self.accesses.append(("write", address, size, value))
        self.on_write(address, size, value)

    def port_read(self, port: int, size: int) -> int:
        raise AssertionError("arm64 has no ports")

    def port_write(self, port: int, size: int, value: int) -> None:
        raise AssertionError("arm64 has no ports")


class Guest:
    """One machine of one vCPU, ready to run ``source`` from its first instruction."""

    def __init__(self, source: str) -> None:
        self.program = program(source)
        self.devices = Devices()
        self.clock = MachineClock(self.devices.lock)
        self.memory = GuestMemory([(Gpa(RAM_BASE), RAM_SIZE)])
        self.vm = open_unicorn().create_vm("arm64", self.memory, self.clock)
        self.vcpu = self.new_vcpu(0)
        self.memory.write(CODE, self.program.code)

    def new_vcpu(self, index: int) -> Arm64Vcpu:
        vcpu = self.vm.create_vcpu(index, self.devices)
        assert isinstance(vcpu, Arm64Vcpu)
        vcpu.parked = False
        vcpu.set_registers({"pc": CODE, "sp": STACK})
        return vcpu

    def run(self, timeout: float = 20) -> Exit:
        """Run, but not longer than ``timeout`` seconds; then the result is `Interrupted`."""
        watchdog = threading.Timer(timeout, self.vcpu.kick)
        watchdog.start()
        try:
            return self.vcpu.run()
        finally:
            watchdog.cancel()
            watchdog.join()

    def address(self, label: str) -> int:
        return self.program.symbols[label]

    def words(self, label: str, count: int) -> list[int]:
        """Return 64-bit words of guest memory."""
        start = self.address(label)
        return [self.memory.read_u64(start + 8 * index) for index in range(count)]

    def register(self, name: str) -> int:
        value = self.vcpu.registers()[name]
        assert isinstance(value, int)
        return value

    def close(self) -> None:
        self.clock.close()
        self.vm.close()
        self.memory.close()
