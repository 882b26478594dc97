"""Registers by name, PSCI calls by a guest, and what a guest finds at reset."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.vmm.backends.unicorn.arm64.guest import CODE, STACK, Guest
from vmm.backends.exits import Reset, Shutdown

Boot = Callable[[str], Guest]

NAMES = {
    *(f"x{number}" for number in range(31)),
    *"sp pc pstate sctlr_el1 ttbr0_el1 ttbr1_el1 tcr_el1 mair_el1 vbar_el1 elr_el1".split(),
    *"spsr_el1 esr_el1 far_el1 sp_el0 sp_el1 tpidr_el0 tpidr_el1 cpacr_el1".split(),
}


def test_all_registers_have_names(arm64_guest: Boot) -> None:
    guest = arm64_guest("b .")
    registers = guest.vcpu.registers()
    assert set(registers) == NAMES
    assert registers["pc"] == CODE
    assert registers["sp"] == registers["sp_el1"] == STACK
    assert registers["pstate"] == 0x3C5  # EL1h, DAIF
    assert registers["sctlr_el1"] & 1 == 0  # type: ignore[operator]


def test_what_is_set_is_read_back_and_seen_by_the_guest(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        """
        mrs x20, tpidr_el0
        mrs x21, vbar_el1
        mrs x22, elr_el1
        mrs x23, mair_el1
        mrs x24, sp_el0
        mov x25, sp
        mrs x26, cpacr_el1
        mov x27, x30
        power_off
        """
    )
    values = {
        "x30": 30,
        "sp": 0x4001_0000,
        "sp_el0": 0x4002_0000,
        "tpidr_el0": 0x1234,
        "tpidr_el1": 0x5678,
        "vbar_el1": 0x4003_0000,
        "elr_el1": 0x4004_0000,
        "spsr_el1": 0x3C0,
        "esr_el1": 0x5600_0000,
        "far_el1": 0xFFFF_0000_1234_5678,
        "mair_el1": 0xFF44,
        "cpacr_el1": 3 << 20,
        "ttbr0_el1": 0x4005_0000,
        "ttbr1_el1": 0x4006_0000,
        "tcr_el1": 25 << 16 | 25,
    }
    before = guest.vcpu.registers()
    guest.vcpu.set_registers(values)
    after = guest.vcpu.registers()
    assert after == {**before, **values, "sp_el1": values["sp"]}
    assert guest.run() == Shutdown()
    seen = [guest.register(f"x{number}") for number in range(20, 28)]
    assert seen == [0x1234, 0x4003_0000, 0x4004_0000, 0xFF44, 0x4002_0000, 0x4001_0000, 3 << 20, 30]


def test_the_stack_pointer_follows_the_level(arm64_guest: Boot) -> None:
    guest = arm64_guest("mov x20, sp \n msr spsel, #1 \n mov x21, sp \n power_off")
    guest.vcpu.set_registers({"pstate": 0x3C4, "sp_el0": 0x1000, "sp_el1": 0x2000})
    assert guest.register("sp") == 0x1000
    guest.vcpu.set_registers({"sp": 0x1100})
    registers = guest.vcpu.registers()
    assert (registers["sp_el0"], registers["sp_el1"]) == (0x1100, 0x2000)
    assert guest.run() == Shutdown()
    assert (guest.register("x20"), guest.register("x21")) == (0x1100, 0x2000)


def test_translation_can_be_switched_on_from_outside(arm64_guest: Boot) -> None:
    guest = arm64_guest("mov x20, #1 \n power_off")
    table = 0x4000_1000
    guest.memory.write_u64(table + 8, 0x4000_0705)
    guest.vcpu.set_registers(
        {
            "ttbr0_el1": table,
            "ttbr1_el1": table,
            "tcr_el1": 25 | 25 << 16 | 2 << 30 | 2 << 32,
            "mair_el1": 0xFF00,
            "sctlr_el1": 0xC5_083D,
            "pc": 0xFFFF_FF80_0000_0000 + CODE,
        }
    )
    assert guest.vcpu.translate(0xFFFF_FF80_0000_0000 + CODE + 4) == CODE + 4
    assert guest.run() == Shutdown()
    assert guest.register("x20") == 1


def test_an_unknown_register_is_refused(arm64_guest: Boot) -> None:
    with pytest.raises(KeyError):
        arm64_guest("b .").vcpu.set_registers({"rax": 0})


@pytest.mark.parametrize("call", ["hvc", "smc"])
@pytest.mark.parametrize(
    ("function", "argument", "result"),
    [
        (0x8400_0000, 0, 0x1_0000),
        (0x8400_000A, 0x8400_0008, 0),
        (0x8400_000A, 0x8400_00FF, -1),
        (0xC400_0003, 0, -4),
        (0xC400_0003, 1, -2),
        (0xC400_0004, 0, 0),
        (0x8400_0002, 0, -3),
        (0x8400_FFFF, 0, -1),
    ],
)
def test_psci_calls_return(
    arm64_guest: Boot, call: str, function: int, argument: int, result: int
) -> None:
    guest = arm64_guest(
        f"load x0, {function:#x} \n load x1, {argument:#x} \n mov x2, #7 \n {call} #0 \n"
        "mov x20, x0 \n mov x21, x2 \n power_off"
    )
    assert guest.run() == Shutdown()
    assert guest.register("x20") == result & 0xFFFF_FFFF_FFFF_FFFF
    assert guest.register("x21") == 7


@pytest.mark.parametrize("call", ["hvc", "smc"])
@pytest.mark.parametrize(("function", "reason"), [(8, Shutdown()), (9, Reset())])
def test_psci_ends_the_machine(
    arm64_guest: Boot, call: str, function: int, reason: Shutdown | Reset
) -> None:
    guest = arm64_guest(f"load x0, {0x8400_0000 + function} \n {call} #0 \n mov x20, #1 \n b .")
    assert guest.run() == reason
    assert guest.register("x20") == 0


def test_the_cycle_counter_counts_across_exceptions(native: None) -> None:
    guest = Guest(
        """
        adr x0, vectors
        msr vbar_el1, x0
        mov x0, #1
        msr pmcr_el0, x0
        mov x0, #1 << 31
        msr pmcntenset_el0, x0
        mrs x20, pmccntr_el0
        svc #0
        mrs x21, pmccntr_el0
        power_off
    handler:
        eret
        vectors handler
        """
    )
    assert guest.run() == Shutdown()
    assert guest.register("x21") > guest.register("x20")
    guest.close()


def test_pointer_authentication_is_not_announced(arm64_guest: Boot) -> None:
    guest = arm64_guest("mrs x20, id_aa64isar1_el1\npower_off")
    assert guest.run() == Shutdown()
    features = guest.register("x20")
    assert features & 0xF
    assert not features & 0xFF00_0FF0  # APA, API, GPA, GPI


def test_the_processor_needs_no_other_page_tables_for_el0(arm64_guest: Boot) -> None:
    guest = arm64_guest("mrs x20, id_aa64pfr0_el1\nmrs x21, id_aa64mmfr2_el1\npower_off")
    assert guest.run() == Shutdown()
    features = guest.register("x20")
    assert features >> 56 == 0x11  # CSV3, CSV2
    assert features & 0xF in (1, 2)  # EL0 is there as before
    assert guest.register("x21") >> 60 == 1  # E0PD
