"""Registers of arm64 by the names of `vmm.backends.api`, as ids of KVM_GET_ONE_REG."""

from __future__ import annotations

from vmm.backends.kvm.abi_arm64 import (
    KVM_REG_ARM64,
    KVM_REG_ARM64_SYSREG,
    KVM_REG_ARM_CORE,
    KVM_REG_SIZE_U64,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_U64: Final = KVM_REG_ARM64 | KVM_REG_SIZE_U64


def core_register(word: int) -> int:
    """Return the id of the 64-bit register that is the ``word``-th of ``struct kvm_regs``."""
    # The kernel counts in 32-bit words.
    return _U64 | KVM_REG_ARM_CORE | word * 2


def system_register(op0: int, op1: int, crn: int, crm: int, op2: int) -> int:
    """Return the id of the system register with this MRS/MSR encoding."""
    return _U64 | KVM_REG_ARM64_SYSREG | op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2


# struct kvm_regs: x0-x30, sp_el0, pc, pstate, sp_el1, elr_el1, spsr[EL1, ABT, UND, IRQ, FIQ].
_CORE: Final = {
    **{f"x{number}": core_register(number) for number in range(31)},
    "sp_el0": core_register(31),
    "pc": core_register(32),
    "pstate": core_register(33),
    "sp_el1": core_register(34),
    "elr_el1": core_register(35),
    "spsr_el1": core_register(36),
}

# Arm ARM (DDI 0487), D24.2: the encoding of each.
_SYSTEM: Final = {
    "sctlr_el1": system_register(3, 0, 1, 0, 0),
    "cpacr_el1": system_register(3, 0, 1, 0, 2),
    "ttbr0_el1": system_register(3, 0, 2, 0, 0),
    "ttbr1_el1": system_register(3, 0, 2, 0, 1),
    "tcr_el1": system_register(3, 0, 2, 0, 2),
    "esr_el1": system_register(3, 0, 5, 2, 0),
    "far_el1": system_register(3, 0, 6, 0, 0),
    "mair_el1": system_register(3, 0, 10, 2, 0),
    "vbar_el1": system_register(3, 0, 12, 0, 0),
    "tpidr_el1": system_register(3, 0, 13, 0, 4),
    "tpidr_el0": system_register(3, 3, 13, 0, 2),
}

IDS: Final = {**_CORE, **_SYSTEM}

# PSTATE.EL (3:2) and PSTATE.SP (0), as in SPSR_EL1.M: EL1 on its own stack pointer.
_MODE: Final = 0b1101
_EL1H: Final = 0b0101


def stack_pointer(pstate: int) -> str:
    """Return which stack pointer the name ``sp`` means in processor state ``pstate``."""
    return "sp_el1" if pstate & _MODE == _EL1H else "sp_el0"
