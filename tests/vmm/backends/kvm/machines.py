"""Real machines for the tests: a few bytes of machine code, and a record of what they access.

A guest ends its run by an access to the "stop" place: port 0x80 on x86_64, `STOP` on arm64.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vmm.arch import X86_64, host_arch
from vmm.backends.exits import Interrupted
from vmm.backends.kvm.hypervisor import open_kvm
from vmm.backends.registers import DescriptorTable, Segment
from vmm.memory import GuestMemory

RAM_SIZE = 0x10_0000
STOP_PORT = 0x80
TIME_LIMIT = 20.0

# x86_64: RAM from 0, the program at 0x1000, everything from DEVICE up is not RAM.
# arm64: RAM from 1 GiB, the program at its start.
DEVICE = 0xD000_0000 if host_arch() == X86_64 else 0x0A00_0000
STOP = DEVICE + 0xF000
RAM = 0 if host_arch() == X86_64 else 0x4000_0000
PROGRAM = RAM + 0x1000

# out 0x80, al
X86_STOP = "e6 80"
# mov dword [SVR], enabled | 0xff
ENABLE_APIC = "c7 05 f0 00 e0 fe ff 01 00 00"

FLAT_CODE = Segment(0x08, 0, 0xFFFF_FFFF, 0xC09B)
FLAT_DATA = Segment(0x10, 0, 0xFFFF_FFFF, 0xC093)

# EL1 on its own stack pointer, with all interrupts masked.
EL1H_MASKED = 0x3C5


class Recorder:
    """Answers accesses: records each, gives reads the answers prepared for their address."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.accesses: list[tuple[str, int, int, int]] = []
        self.answers: dict[int, list[int]] = {}
        self.vcpu: Any = None
        # Called at each access with its address, before it is answered.
        self.hook: Callable[[int], object] = lambda address: None
        # The run also ends with this access, counted from one.
        self.last = 0

    def port_read(self, port: int, size: int) -> int:
        return self._read("in", port, size)

    def port_write(self, port: int, size: int, value: int) -> None:
        self._write("out", port, size, value)

    def mmio_read(self, address: int, size: int) -> int:
        return self._read("load", address, size)

    def mmio_write(self, address: int, size: int, value: int) -> None:
        self._write("store", address, size, value)

    def _read(self, kind: str, address: int, size: int) -> int:
        with self.lock:
            self.hook(address)
            value = self.answers.get(address, [0]).pop(0)
            self._record(kind, address, size, value)
            return value

    def _write(self, kind: str, address: int, size: int, value: int) -> None:
        with self.lock:
            self.hook(address)
            if address in (STOP, STOP_PORT):
                self.vcpu.kick()
                return
            self._record(kind, address, size, value)

    def _record(self, kind: str, address: int, size: int, value: int) -> None:
        self.accesses.append((kind, address, size, value))
        if len(self.accesses) == self.last:
            self.vcpu.kick()


class Machine:
    """A machine with one vCPU ready to run a program."""

    def __init__(self, kvm: Any, memory: GuestMemory, vm: Any) -> None:
        self.kvm = kvm
        self.memory = memory
        self.vm = vm
        self.bus = Recorder()
        self.vcpu: Any = vm.create_vcpu(0, self.bus)
        self.bus.vcpu = self.vcpu

    def load(self, code: str, **registers: Any) -> None:
        """Put the program ``code`` (hexadecimal) into RAM and point the vCPU at it."""
        self.memory.write(PROGRAM, bytes.fromhex(code))
        self.vcpu.set_registers({**start_state(), **registers})

    def run(self, code: str, **registers: Any) -> list[tuple[str, int, int, int]]:
        """Run the program until it stops; return its accesses."""
        self.load(code, **registers)
        assert self.vcpu.run() == Interrupted()
        return self.bus.accesses


@contextmanager
def machine() -> Iterator[Machine]:
    kvm = open_kvm()
    with GuestMemory([(RAM, RAM_SIZE)]) as memory:
        arch = host_arch()
        assert arch is not None
        vm = kvm.create_vm(arch, memory)
        made = Machine(kvm, memory, vm)
        # A guest that does not come to its end must not hang the tests: they see it end too early.
        watchdog = threading.Timer(TIME_LIMIT, made.vcpu.kick)
        watchdog.start()
        try:
            yield made
        finally:
            watchdog.cancel()
            vm.close()
            kvm.close()


def start_state() -> Mapping[str, Any]:
    if host_arch() != X86_64:
        return {"pc": PROGRAM, "pstate": EL1H_MASKED, "x1": DEVICE, "x2": STOP}
    # 32-bit protected mode, flat, without paging.
    return {
        "cs": FLAT_CODE,
        **dict.fromkeys(("ds", "es", "ss"), FLAT_DATA),
        "idtr": DescriptorTable(0, 0),
        "cr0": 0x11,
        "rip": PROGRAM,
        "rsp": RAM_SIZE,
        "rdi": DEVICE,
        "rdx": 0x3F8,
    }


def long_mode(memory: GuestMemory) -> Mapping[str, Any]:
    """Map the first and the fourth GiB to themselves; return the registers of 64-bit mode."""
    tables = 0x8_0000
    memory.write_u64(tables, tables + 0x1000 | 3)
    for gib in (0, 3):
        directory = tables + 0x2000 + 0x1000 * gib
        memory.write_u64(tables + 0x1000 + 8 * gib, directory | 3)
        for entry in range(512):
            memory.write_u64(directory + 8 * entry, gib << 30 | entry << 21 | 0x83)
    return {
        "cs": Segment(0x08, 0, 0xFFFF_FFFF, 0xA09B),
        "cr0": 0x8000_0011,
        "cr3": tables,
        "cr4": 0x20,
        "efer": 0x500,
    }


def guest_mappings() -> list[str]:
    """Return the mappings of this process that belong to machines."""
    with open("/proc/self/maps") as maps:
        return [line for line in maps if "kvm" in line or "guest-ram" in line]


# ---- Programs of which both architectures have one, by the same name ----

if host_arch() == X86_64:
    STOP_CODE = "e6 80"  # out 0x80, al
    SPIN = "eb fe"  # jmp to itself
    SLEEP = "f4 eb fd"  # hlt; jmp back
    STORE = "89 07"  # mov [edi], eax
    LOAD = "8b 07"  # mov eax, [edi]
    LOADS = LOAD + "eb fc"  # for ever
    COUNTER, ACCUMULATOR = "rip", "rax"
else:
    STOP_CODE = "40 00 00 b9"  # str w0, [x2]
    SPIN = "00 00 00 14"  # b to itself
    SLEEP = "7f 20 03 d5  ff ff ff 17"  # wfi; b back
    STORE = "20 00 00 b9"  # str w0, [x1]
    LOAD = "20 00 40 b9"  # ldr w0, [x1]
    LOADS = LOAD + "ff ff ff 17"  # for ever
    COUNTER, ACCUMULATOR = "pc", "x0"
