"""The probe of arm64: a machine can be made, and integer, SIMD and device accesses work in it."""

from __future__ import annotations

from vmm.arch import ARM64
from vmm.backends.exits import Interrupted, Shutdown
from vmm.backends.kvm.selftest import EndOfProbe
from vmm.memory import Gpa, GuestMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.kvm.hypervisor import Kvm

FINDINGS = 2

_RAM: Final = 0x4000_0000
_SIZE: Final = 0x1_0000

# EL1 on its own stack pointer, all interrupts masked (SPSR_EL1, Arm ARM C5.2.19).
_PSTATE: Final = 0x3C5

_PROGRAM: Final = bytes.fromhex(
    "0006a0d2"  # mov  x0, #3 << 20         ; CPACR_EL1.FPEN: no traps
    "401018d5"  # msr  cpacr_el1, x0
    "df3f03d5"  # isb
    "a004004f"  # movi v0.4s, #5
    "0084a04e"  # add  v0.4s, v0.4s, v0.4s
    "003c1c0e"  # mov  w0, v0.s[3]
    "0140a1d2"  # mov  x1, #0xa000000       ; not RAM
    "200000b9"  # str  w0, [x1]
    "0080b0d2"  # mov  x0, #0x84000000
    "000180f2"  # movk x0, #8               ; PSCI SYSTEM_OFF
    "020000d4"  # hvc  #0
)
_STORED: Final = 10


def probe(kvm: Kvm) -> tuple[int, ...]:
    """Return whether the store came with the right value, and whether PSCI ended the machine."""
    with GuestMemory([(Gpa(_RAM), _SIZE)]) as memory:
        memory.write(_RAM, _PROGRAM)
        vm = kvm.create_vm(ARM64, memory)
        try:
            end = EndOfProbe()
            end.vcpu = vcpu = vm.create_vcpu(0, end)
            vcpu.set_registers({"pc": _RAM, "pstate": _PSTATE})
            computed = isinstance(vcpu.run(), Interrupted) and end.stored == _STORED
            return int(computed), int(computed and isinstance(vcpu.run(), Shutdown))
        finally:
            vm.close()


def problems(findings: tuple[int, ...]) -> tuple[tuple[str, str], ...]:
    """Return each property with what is wrong with it, empty where it holds."""
    computed, ended = findings
    return (
        ("instructions run", "" if computed else "a short program gives a wrong result"),
        ("PSCI works", "" if ended else "PSCI SYSTEM_OFF does not end a machine"),
    )
