"""Small x86_64 guests for tests: a program in RAM, descriptor tables around it, a bus that notes.

    0x00_1000  page tables: identity, for all rings
    0x00_5000  GDT          0x00_6000  IDT         0x00_7000  TSS
    0x00_8000  SCRATCH, empty
    0x01_0000  the program, at its label ``start`` in ring 0; below 0x10_0000 its stacks
    0x20_0000  2 MiB that may not be written
  0xc000_0000  2 MiB of devices

A label ``on_14`` becomes the handler of vector 14; ``on_14_ist`` runs on the stack IST1; programs
may call ``on_3_user`` from ring 3.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from struct import pack
from typing import TYPE_CHECKING

from tests.vmm.backends.assemble import Program, assemble
from vmm.backends.registers import DescriptorTable, Segment
from vmm.backends.unicorn.hypervisor import UnicornHypervisor
from vmm.backends.unicorn.x86.vcpu import X86Vcpu
from vmm.machine.clock import MachineClock
from vmm.memory import Gpa, GuestMemory

if TYPE_CHECKING:
    from vmm.backends.api import Exit, RegisterValue
    from vmm.lines import Clock

RAM = 4 << 20
PML4, PDPT, PD, PD_MMIO = 0x1000, 0x2000, 0x3000, 0x4000
GDT, IDT, TSS = 0x5000, 0x6000, 0x7000
SCRATCH = 0x8000
BASE = 0x10000
RING0_STACK = 0x80000
IST1_STACK = 0x90000
TRAP_STACK = 0xA0000
USER_STACK = 0xB0000
READ_ONLY = 0x20_0000
UNMAPPED = 0x4000_0000
MMIO = 0xC000_0000

KERNEL_CS, KERNEL_SS, USER_CS_32, USER_SS, USER_CS, TR = 0x08, 0x10, 0x1B, 0x23, 0x2B, 0x30
KERNEL_CS_32 = 0x40
_GDT = (
    0,
    0x00AF_9B00_0000_FFFF,  # 0x08: ring 0, 64-bit code
    0x00CF_9300_0000_FFFF,  # 0x10: ring 0, data
    0x00CF_FB00_0000_FFFF,  # 0x18: ring 3, 32-bit code
    0x00CF_F300_0000_FFFF,  # 0x20: ring 3, data
    0x00AF_FB00_0000_FFFF,  # 0x28: ring 3, 64-bit code
    0x0000_8900_7000_0067,  # 0x30: the TSS, 16 bytes
    0,
    0x00CF_9B00_0000_FFFF,  # 0x40: ring 0, 32-bit code
)
CODE_64 = Segment(KERNEL_CS, 0, 0xFFFF_FFFF, 0xA09B)
CODE_32 = Segment(KERNEL_CS_32, 0, 0xFFFF_FFFF, 0xC09B)
DATA = Segment(KERNEL_SS, 0, 0xFFFF_FFFF, 0xC093)
CODE_16 = Segment(BASE >> 4, BASE, 0xFFFF, 0x9B)
DATA_16 = Segment(0, 0, 0xFFFF, 0x93)

# Reach ring 3 at the label "user", with interrupts enabled.
ENTER_USER = f"""
    push {USER_SS}
    push {USER_STACK}
    push 0x202
    push {USER_CS}
    lea rax, [rip + user]
    push rax
    iretq
"""


class Bus:
    """Answers accesses by functions that a test sets, and notes them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.accesses: list[tuple[str, int, int, int]] = []
        self.answer: Callable[[int, int], int] = lambda _address, size: (1 << 8 * size) - 1
        self.on_write: Callable[[int, int], None] = lambda _address, _value: None

    def _read(self, kind: str, address: int, size: int) -> int:
        with self.lock:
            value = self.answer(address, size)
            self.accesses.append((kind, address, size, value))
            return value

    def _write(self, kind: str, address: int, size: int, value: int) -> None:
        with self.lock:
            self.accesses.append((kind, address, size, value))
            self.on_write(address, value)

    def mmio_read(self, address: int, size: int) -> int:
        return self._read("mmio read", address, size)

    def mmio_write(self, address: int, size: int, value: int) -> None:
        self._write("mmio write", address, size, value)

    def port_read(self, port: int, size: int) -> int:
        return self._read("in", port, size)

    def port_write(self, port: int, size: int, value: int) -> None:
        self._write("out", port, size, value)


class Guest:
    """One machine with one vCPU, started at the label ``start`` of ``source``."""

    def __init__(self, source: str, mode: str = "long", clock: Clock | None = None) -> None:
        self.program: Program = assemble("x86_64", source, BASE)
        self.bus = Bus()
        self.memory = GuestMemory([(Gpa(0), RAM)])
        self.memory.write(BASE, self.program.code)
        self.clock = MachineClock(self.bus.lock)
        self.vm = UnicornHypervisor().create_vm("x86_64", self.memory, clock or self.clock)
        vcpu = self.vm.create_vcpu(0, self.bus)
        assert isinstance(vcpu, X86Vcpu)
        self.vcpu = vcpu
        self._write_tables(mode)
        self.vcpu.set_registers(getattr(self, f"_{mode}_mode")())

    def __getitem__(self, label: str) -> int:
        """Return the address of a label."""
        return self.program.symbols[label]

    def word(self, label: str) -> int:
        """Return the 64-bit word at a label."""
        return self.memory.read_u64(self[label])

    def register(self, name: str) -> int:
        value = self.vcpu.registers()[name]
        assert isinstance(value, int)
        return value

    def run(self, seconds: float = 5) -> Exit:
        """Run until something happens; a guest that does nothing for so long is interrupted."""
        alarm = threading.Timer(seconds, self.vcpu.kick)
        alarm.start()
        try:
            return self.vcpu.run()
        finally:
            alarm.cancel()

    def close(self) -> None:
        self.clock.close()
        self.vm.close()
        self.memory.close()

    def _write_tables(self, mode: str) -> None:
        memory = self.memory
        memory.write_u64(PML4, PDPT | 7)
        memory.write_u64(PDPT, PD | 7)
        memory.write_u64(PDPT + 8 * 3, PD_MMIO | 7)
        memory.write_u64(PD_MMIO, MMIO | 0x87)
        memory.write_u64(PD, 0x87)
        memory.write_u64(PD + 8, READ_ONLY | 0x85)
        memory.write(GDT, pack(f"<{len(_GDT)}Q", *_GDT))
        if mode == "long":
            memory.write(TSS, pack("<4xQ24xQ58xH", TRAP_STACK, IST1_STACK, 0x68))
        else:
            memory.write(TSS, pack("<4xII90xH", TRAP_STACK, KERNEL_SS, 0x68))
        for label, address in self.program.symbols.items():
            name = re.fullmatch(r"on_(\d+)(_ist)?(_user)?", label)
            if name:
                gate = _gate(mode, address, ist=bool(name[2]), user=bool(name[3]))
                memory.write(IDT + len(gate) * int(name[1]), gate)

    def _long_mode(self) -> dict[str, RegisterValue]:
        return {
            **dict.fromkeys(("ds", "es", "ss", "fs", "gs"), DATA),
            "cs": CODE_64,
            "tr": Segment(TR, TSS, 0x67, 0x8B),
            "gdtr": DescriptorTable(GDT, 8 * len(_GDT) - 1),
            "idtr": DescriptorTable(IDT, 0xFFF),
            "cr0": 0x8001_0033,
            "cr3": PML4,
            "cr4": 0x620,
            "efer": 0xD01,
            "rflags": 2,
            "rsp": RING0_STACK,
            "rip": self["start"],
        }

    def _protected_mode(self) -> dict[str, RegisterValue]:
        return {
            **dict.fromkeys(("ds", "es", "ss", "fs", "gs"), DATA),
            "cs": CODE_32,
            "tr": Segment(TR, TSS, 0x67, 0x8B),
            "gdtr": DescriptorTable(GDT, 8 * len(_GDT) - 1),
            "idtr": DescriptorTable(IDT, 0xFFF),
            "cr0": 0x11,
            "rsp": RING0_STACK,
            "rip": self["start"],
        }

    def _real_mode(self) -> dict[str, RegisterValue]:
        return {
            "cs": CODE_16,
            **dict.fromkeys(("ds", "es", "ss", "fs", "gs"), DATA_16),
            "idtr": DescriptorTable(IDT, 0x3FF),
            "rsp": 0x7C00,
            "rip": self["start"] - BASE,
        }


def _gate(mode: str, address: int, *, ist: bool, user: bool) -> bytes:
    """Return an interrupt gate, or a real-mode vector."""
    if mode == "real":
        return pack("<HH", address - BASE, BASE >> 4)
    attributes = 0xEE00 if user else 0x8E00
    selector = KERNEL_CS if mode == "long" else KERNEL_CS_32
    gate = pack("<HHHH", address & 0xFFFF, selector, attributes | ist, address >> 16)
    return gate + bytes(8) if mode == "long" else gate
