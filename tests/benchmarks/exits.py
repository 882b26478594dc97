"""Cost of an exit: a guest stores to one register of a UART in a loop.

On KVM beside a C program that runs the same guest and does nothing with the exit; on Unicorn beside
the same engine with a callback that does nothing.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.benchmarks.measure import HERE, Case, compile_c, print_table, run_rounds
from vmm.arch import host_arch
from vmm.backends.registers import DescriptorTable, Segment
from vmm.backends.select import open_backend
from vmm.bus import Bus
from vmm.devices.ns16550 import Ns16550
from vmm.machine.clock import MachineClock
from vmm.memory import Gpa, GuestMemory

if TYPE_CHECKING:
    from vmm.backends.api import Hypervisor, RegisterValue, Vcpu

UART_PORT = 0x3F8
UART_GPA = 0x0900_0000
SCRATCH = 7
STOP_PORT = 0xF4
STOP_GPA = 0x0A00_0000
CODE = {"x86_64": 0x1000, "arm64": 0x4000_1000}
RAM_SIZE = 1 << 20

_FLAT_CODE = Segment(0x08, 0, 0xFFFF_FFFF, 0xC09B)
_FLAT_DATA = Segment(0x10, 0, 0xFFFF_FFFF, 0xC093)


def _x86_code(kind: str, count: int) -> bytes:
    """Return 32-bit code: ``count`` stores, then one to the stop port."""
    stop = b"\x66\xba" + struct.pack("<H", STOP_PORT) + b"\xee\xeb\xfe"  # mov dx; out; jmp .
    counter = b"\xb9" + struct.pack("<I", count)  # mov ecx
    if kind == "pio":
        place = b"\x66\xba" + struct.pack("<H", UART_PORT + SCRATCH)  # mov dx
        return place + counter + b"\xee\x49\x75\xfc" + stop  # 1: out; dec ecx; jnz 1b
    place = b"\xba" + struct.pack("<I", UART_GPA + SCRATCH)  # mov edx
    return place + counter + b"\x88\x02\x49\x75\xfb" + stop  # 1: mov [edx], al; dec ecx; jnz 1b


def _arm_code(count: int) -> bytes:
    def move(register: int, number: int) -> list[int]:
        low = 0xD280_0000 | (number & 0xFFFF) << 5 | register  # movz
        return [low, 0xF2A0_0000 | (number >> 16) << 5 | register]  # movk, lsl 16

    words = move(1, UART_GPA + SCRATCH) + move(2, STOP_GPA) + move(3, count)
    # 1: strb w0, [x1]; subs x3, x3, #1; b.ne 1b; strb w0, [x2]; b .
    words += [0x3900_0020, 0xF100_0463, 0x54FF_FFC1, 0x3900_0040, 0x1400_0000]
    return struct.pack(f"<{len(words)}I", *words)


def _start_state(arch: str) -> dict[str, RegisterValue]:
    if arch == "arm64":
        return {"pc": CODE[arch], "pstate": 0x3C5}
    data = dict.fromkeys(("ds", "es", "fs", "gs", "ss"), _FLAT_DATA)
    table = DescriptorTable(0, 0)
    return {"cr0": 0x11, "cs": _FLAT_CODE, **data, "gdtr": table, "rip": CODE[arch], "rflags": 2}


class _Stop:
    """The register that ends the loop."""

    def __init__(self) -> None:
        self.vcpu: Vcpu | None = None

    def read(self, offset: int, size: int) -> int:
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        assert self.vcpu is not None
        self.vcpu.kick()


def _time_loop(hypervisor: Hypervisor, arch: str, kind: str, count: int) -> Callable[[], float]:
    """Return a measurement of one exit, in seconds, with dispatch to the UART's register."""

    def measure() -> float:
        base = Gpa(0x4000_0000 if arch == "arm64" else 0)
        bus = Bus()
        stop = _Stop()
        uart = Ns16550(irq=lambda level: None, sink=lambda data: None)
        bus.pio.attach(UART_PORT, 8, "uart", uart)
        bus.mmio.attach(UART_GPA, 8, "uart", uart)
        bus.pio.attach(STOP_PORT, 1, "stop", stop)
        bus.mmio.attach(STOP_GPA, 8, "stop", stop)
        clock = MachineClock(bus.lock)
        with GuestMemory([(base, RAM_SIZE)]) as memory:
            code = _arm_code(count) if arch == "arm64" else _x86_code(kind, count)
            memory.write(CODE[arch], code)
            vm = hypervisor.create_vm(arch, memory, clock)  # type: ignore[arg-type]
            vcpu = vm.create_vcpu(0, bus)
            stop.vcpu = vcpu
            vcpu.set_registers(_start_state(arch))
            start = time.perf_counter()
            vcpu.run()
            elapsed = time.perf_counter() - start
            if len(bus.recent) < 2:
                sys.exit(f"{hypervisor.name} {arch} {kind}: the guest stored nothing")
            vcpu.close()
            vm.close()
        return elapsed / count

    return measure


def _c_loop(kind: str, count: int) -> Callable[[], float]:
    program = compile_c(HERE / "exit_floor.c", "-O2", "-target", "x86_64-linux-musl")

    def measure() -> float:
        import subprocess

        words = [str(program), kind, str(count)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return float(done.stdout) * 1e-9

    return measure


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench exits", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--count", type=int, default=20_000, help="exits a round")
    arguments = parser.parse_args()
    groups: list[tuple[list[Case], list[Case]]] = []
    if host_arch() == "x86_64" and os.access("/dev/kvm", os.R_OK | os.W_OK):
        kvm, _ = open_backend("kvm", "x86_64")
        for kind in ("pio", "mmio"):
            floor = Case(f"C loop, {kind}", _c_loop(kind, arguments.count))
            full = Case(f"KVM x86_64, {kind}", _time_loop(kvm, "x86_64", kind, arguments.count))
            groups.append(([full, floor], [floor]))
    unicorn, _ = open_backend("unicorn", "arm64")
    loops = (("x86_64", "pio"), ("x86_64", "mmio"), ("arm64", "mmio"))
    emulated = [
        Case(f"Unicorn {arch}, {kind}", _time_loop(unicorn, arch, kind, arguments.count))
        for arch, kind in loops
    ]
    groups.append((emulated, []))
    for cases, peers in groups:
        run_rounds(cases, arguments.rounds)
        print_table(cases, "us", 1e6, peers)


if __name__ == "__main__":
    main()
