"""The frequency of an arm64 guest's counter, which only a guest can read: CNTFRQ_EL0."""

from __future__ import annotations

from vmm.arch import ARM64
from vmm.backends.kvm.selftest import EndOfProbe
from vmm.memory import Gpa, GuestMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.kvm.hypervisor import Kvm

_RAM: Final = 0x4000_0000
_SIZE: Final = 0x1000

# EL1 on its own stack pointer, all interrupts masked (SPSR_EL1, Arm ARM C5.2.19).
_PSTATE: Final = 0x3C5

_PROGRAM: Final = bytes.fromhex(
    "00e03bd5"  # mrs  x0, cntfrq_el0
    "0140a1d2"  # mov  x1, #0xa000000       ; not RAM
    "200000b9"  # str  w0, [x1]
)


def read_counter_hz(kvm: Kvm) -> int:
    """Have a machine of its own tell the frequency."""
    with GuestMemory([(Gpa(_RAM), _SIZE)]) as memory:
        memory.write(_RAM, _PROGRAM)
        vm = kvm.create_vm(ARM64, memory)
        try:
            end = EndOfProbe()
            end.vcpu = vcpu = vm.create_vcpu(0, end)
            vcpu.set_registers({"pc": _RAM, "pstate": _PSTATE})
            vcpu.run()
            return end.stored
        finally:
            vm.close()
