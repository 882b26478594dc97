"""The registers of an arm64 vCPU by name, through the engine's public interface."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from vmm.backends.unicorn.engine import Engine

    # op0, op1, CRn, CRm, op2
    Encoding = tuple[int, int, int, int, int]

# UC_ARM64_REG_*
REG_X0: Final = 199
_REG_X29: Final = 1
_REG_SP: Final = 4
REG_PC: Final = 260
REG_PSTATE: Final = 265
_REG_SP_EL0: Final = 270
_REG_CP: Final = 290

# PSTATE
PSTATE_SP: Final = 1 << 0
PSTATE_EL: Final = 3 << 2
PSTATE_I: Final = 1 << 7
_EL1H: Final = 0b0101
_DAIF: Final = 0xF << 6

CPACR_EL1: Final = (3, 0, 1, 0, 2)
_SYSTEM: Final[dict[str, Encoding]] = {
    "sctlr_el1": (3, 0, 1, 0, 0),
    "ttbr0_el1": (3, 0, 2, 0, 0),
    "ttbr1_el1": (3, 0, 2, 0, 1),
    "tcr_el1": (3, 0, 2, 0, 2),
    "mair_el1": (3, 0, 10, 2, 0),
    "vbar_el1": (3, 0, 12, 0, 0),
    "elr_el1": (3, 0, 4, 0, 1),
    "spsr_el1": (3, 0, 4, 0, 0),
    "esr_el1": (3, 0, 5, 2, 0),
    "far_el1": (3, 0, 6, 0, 0),
    "tpidr_el0": (3, 3, 13, 0, 2),
    "tpidr_el1": (3, 0, 13, 0, 4),
    "cpacr_el1": CPACR_EL1,
}

# What the engine's cached address translations depend on.
_TRANSLATION: Final = frozenset(("sctlr_el1", "ttbr0_el1", "ttbr1_el1", "tcr_el1", "mair_el1"))

_GENERAL: Final = {
    **{f"x{number}": REG_X0 + number for number in range(29)},
    "x29": _REG_X29,
    "x30": _REG_X29 + 1,
    "pc": REG_PC,
}

_RESET_PSTATE: Final = _EL1H | _DAIF

# The levels above EL1 are not the guest's. What they would control is set so that nothing of EL1
# and EL0 is trapped to them; SCR_EL3.NS with RW and HCR_EL2.RW make EL1 a non-secure AArch64 one,
# whose page tables the engine otherwise walks as those of AArch32.
_RESET_SYSTEM: Final[dict[Encoding, int]] = {
    # SCR_EL3: NS, RES1 (5:4), HCE, RW, APK, API; SMD clear, or SMC would be undefined.
    (3, 6, 1, 1, 0): 0x3_0531,
    # HCR_EL2: RW, APK, API
    (3, 4, 1, 1, 0): 1 << 31 | 1 << 40 | 1 << 41,
    # CPTR_EL3.EZ, ZCR_EL3.LEN, ZCR_EL2.LEN: SVE is EL1's to enable.
    (3, 6, 1, 1, 2): 1 << 8,
    (3, 6, 1, 2, 0): 0xF,
    (3, 4, 1, 2, 0): 0xF,
    # CNTHCTL_EL2: EL1PCTEN, EL1PCEN
    (3, 4, 14, 1, 0): 0b11,
}
_VBARS_ABOVE: Final[tuple[Encoding, ...]] = ((3, 4, 12, 0, 0), (3, 6, 12, 0, 0))
_VMPIDR_EL2: Final = (3, 4, 0, 0, 5)
_CNTVOFF_EL2: Final = (3, 4, 14, 0, 3)

ID_AA64PFR0_EL1: Final = (3, 0, 0, 4, 0)
PFR0_GIC: Final = 1 << 24
_PFR0_CSV2: Final = 1 << 56
_PFR0_CSV3: Final = 1 << 60
_ISAR1_APA_API: Final = 0xFF0
_ISAR1_GPA_GPI: Final = 0xFF00_0000
_MMFR2_E0PD: Final = 1 << 60

# What identification registers say otherwise than the engine's: bits that are 0, bits that are 1.
#
# Without pointer authentication: guests that find it compute a cipher in software at each call of
# a function, and Linux is half as fast. With CSV2, CSV3 and E0PD: nothing is executed speculatively
# here, yet without them Linux changes page tables at each entry of the kernel, which costs the
# engine all its address translations. (TCR_EL1.E0PD1 has no effect: what EL0 may not read faults as
# ever, but a program that measures for how long may find out where a kernel lies.)
IDENTITY: Final[dict[Encoding, tuple[int, int]]] = {
    ID_AA64PFR0_EL1: (0, _PFR0_CSV2 | _PFR0_CSV3),
    (3, 0, 0, 6, 1): (_ISAR1_APA_API | _ISAR1_GPA_GPI, 0),  # ID_AA64ISAR1_EL1
    (3, 0, 0, 7, 2): (0, _MMFR2_E0PD),  # ID_AA64MMFR2_EL1
}

# Where exceptions to EL2 or EL3 would be taken: the last page of physical memory as the processor
# has it (44 bits, ID_AA64MMFR0_EL1.PARange), which is no RAM, so that the run ends.
NOWHERE: Final = 0xFFF_FFFF_F000


class Registers:
    """The architectural registers of one engine; used while it does not execute."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._system = engine.ffi.new("uc_arm64_cp_reg *")

    def reset(self, affinity: int) -> None:
        """Bring the processor to EL1h as after firmware; ``affinity`` identifies it."""
        for encoding, value in _RESET_SYSTEM.items():
            self.write_system(encoding, value)
        for encoding in _VBARS_ABOVE:
            self.write_system(encoding, NOWHERE)
        self.write_system(_VMPIDR_EL2, 1 << 31 | affinity)
        self.set({"pstate": _RESET_PSTATE})

    def get(self) -> dict[str, int]:
        """Return every register that `vmm.backends.api` names for arm64."""
        engine = self._engine
        values = {name: engine.read_register(number) for name, number in _GENERAL.items()}
        values["pstate"] = pstate = engine.read_register(REG_PSTATE)
        values["sp"] = engine.read_register(_REG_SP)
        for level in (0, 1):
            values[f"sp_el{level}"] = engine.read_register(_REG_SP_EL0 + level)
        values[f"sp_el{_stack(pstate)}"] = values["sp"]
        for name, encoding in _SYSTEM.items():
            values[name] = self.read_system(encoding)
        return values

    def set(self, values: Mapping[str, int]) -> None:
        """Set the registers given.

        Raises:
            KeyError: for a name that arm64 does not have.
        """
        engine = self._engine
        rest = dict(values)
        if "pstate" in rest:
            self._write_pstate(rest.pop("pstate"))
        current = _stack(engine.read_register(REG_PSTATE))
        for level in (0, 1):
            stack = rest.pop(f"sp_el{level}", None)
            if stack is not None:
                engine.write_register(_REG_SP if level == current else _REG_SP_EL0 + level, stack)
        if "sp" in rest:
            engine.write_register(_REG_SP, rest.pop("sp"))
        for name, value in rest.items():
            if name in _GENERAL:
                engine.write_register(_GENERAL[name], value)
            else:
                self.write_system(_SYSTEM[name], value)
        self.refresh()
        if not rest.keys().isdisjoint(_TRANSLATION):
            engine.flush_translations()

    def read_system(self, encoding: Encoding) -> int:
        """Return a system register, whatever the current exception level."""
        self._name(encoding)
        code = self._engine.api.uc_reg_read(self._engine.handle, _REG_CP, self._system)
        self._engine.library.check(code, f"cannot read system register {encoding}")
        return int(self._system.val)

    def write_system(self, encoding: Encoding, value: int) -> None:
        """Set a system register, whatever the current exception level."""
        self._name(encoding)
        self._system.val = value
        code = self._engine.api.uc_reg_write(self._engine.handle, _REG_CP, self._system)
        self._engine.library.check(code, f"cannot write system register {encoding}")

    def set_counter_offset(self, ticks: int) -> None:
        """Set CNTVOFF_EL2: CNTVCT_EL0 is CNTPCT_EL0 less ``ticks``."""
        self.write_system(_CNTVOFF_EL2, ticks & 0xFFFF_FFFF_FFFF_FFFF)

    def refresh(self) -> None:
        """Have the engine recompute what it derives from PSTATE and the system registers.

        It does so on each write to a system register, and on no other write.
        """
        self.write_system(CPACR_EL1, self.read_system(CPACR_EL1))

    def _write_pstate(self, value: int) -> None:
        """Set PSTATE, changing the stack pointer to that of the new level and SPSel."""
        engine = self._engine
        old = _stack(engine.read_register(REG_PSTATE))
        new = _stack(value)
        engine.write_register(_REG_SP_EL0 + old, engine.read_register(_REG_SP))
        engine.write_register(REG_PSTATE, value)
        engine.write_register(_REG_SP, engine.read_register(_REG_SP_EL0 + new))

    def _name(self, encoding: Encoding) -> None:
        register = self._system
        register.op0, register.op1, register.crn, register.crm, register.op2 = encoding


def _stack(pstate: int) -> int:
    """Return the exception level whose stack pointer is in use."""
    return (pstate & PSTATE_EL) >> 2 if pstate & PSTATE_SP else 0
