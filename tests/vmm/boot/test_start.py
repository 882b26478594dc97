"""The start states run: a kernel of a few instructions, on every backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import pytest

from tests.vmm.backends.assemble import assemble
from tests.vmm.images import elf_maker
from tests.vmm.images.elf_maker import DIRECT_MAP, KERNEL_BASE
from vmm.backends.exits import Interrupted
from vmm.backends.select import open_backend
from vmm.boot.calypso import Loaded, load
from vmm.hypercall import abi
from vmm.images.recognise import open_image
from vmm.machine.clock import MachineClock
from vmm.memory import Gpa, GuestMemory

if TYPE_CHECKING:
    from vmm.backends.api import Vcpu

MIB = 1 << 20
RAM_BASE = {"x86_64": 0, "arm64": 0x4000_0000}
CONSOLE = {"x86_64": 0x3F8, "arm64": 0x0900_0000}
DATA = {arch: base + 0x2000 for arch, base in KERNEL_BASE.items()}

# Each writes bootinfo's magic to the console in two halves, between them to its data section.
SOURCES = {
    "x86_64": """
        movabs rbx, 0xffff900000000000
        mov rax, [rbx + rdi]
        mov edx, 0x3f8
        out dx, eax
        shr rax, 32
        mov [rbx + 0x102000], eax
        out dx, eax
    wait:
        hlt
        jmp wait
    """,
    "arm64": """
        mov x1, #0xffff000000000000
        ldr x2, [x1, x0]
        movz x3, #0x0900, lsl #16
        str w2, [x1, x3]
        lsr x2, x2, #32
        movz x4, #0x4008, lsl #16
        movk x4, #0x2000
        str w2, [x1, x4]
        str w2, [x1, x3]
    wait:
        wfi
        b wait
    """,
}


class Recorder:
    """An access handler that keeps what is written and stops the vCPU at the second write."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.writes: list[tuple[str, int, int, int]] = []
        self.vcpu: Vcpu | None = None

    def mmio_read(self, address: int, size: int) -> int:
        return 0

    def port_read(self, port: int, size: int) -> int:
        return 0

    def mmio_write(self, address: int, size: int, value: int) -> None:
        self._record("mmio", address, size, value)

    def port_write(self, port: int, size: int, value: int) -> None:
        self._record("pio", port, size, value)

    def _record(self, space: str, address: int, size: int, value: int) -> None:
        self.writes.append((space, address, size, value))
        if len(self.writes) == 2 and self.vcpu is not None:
            self.vcpu.kick()


@pytest.fixture
def memory(arch: str) -> Iterator[GuestMemory]:
    with GuestMemory([(Gpa(RAM_BASE[arch]), 8 * MIB)]) as memory:
        yield memory


def load_kernel(arch: str, memory: GuestMemory, folder: Path) -> Loaded:
    """Load a kernel of one page of code, one of rodata, one of data."""
    maker = elf_maker.kernel(arch, size=0x1000)
    code = assemble(arch, SOURCES[arch], DIRECT_MAP[arch] + KERNEL_BASE[arch]).code
    maker.parts[0].data = code
    (folder / "kernel").write_bytes(maker.build())
    with open_image(str(folder / "kernel")) as kernel:
        return load(memory, arch, kernel, console=CONSOLE[arch])


def test_the_kernel_finds_bootinfo(
    arch: str, backend: str, memory: GuestMemory, tmp_path: Path
) -> None:
    loaded = load_kernel(arch, memory, tmp_path)
    recorder = Recorder()
    hypervisor, _ = open_backend(backend, arch)
    clock = MachineClock(recorder.lock)
    machine = hypervisor.create_vm(arch, memory, clock)
    vcpu = recorder.vcpu = machine.create_vcpu(0, recorder)
    try:
        vcpu.set_registers(loaded.registers)
        assert isinstance(vcpu.run(), Interrupted)
        assert vcpu.translate(DIRECT_MAP[arch] + DATA[arch]) == DATA[arch]
        assert vcpu.translate(DIRECT_MAP[arch] + RAM_BASE[arch] + 8 * MIB) is None
    finally:
        for part in (vcpu, machine, clock, hypervisor):
            part.close()
    low, high = abi.BOOTINFO_MAGIC & 0xFFFF_FFFF, abi.BOOTINFO_MAGIC >> 32
    space = "pio" if arch == "x86_64" else "mmio"
    console = CONSOLE[arch]
    assert recorder.writes == [(space, console, 4, low), (space, console, 4, high)]
    assert memory.read_u32(DATA[arch]) == high
