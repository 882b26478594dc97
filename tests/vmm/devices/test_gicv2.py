"""The GICv2: identification, targets, software-generated interrupts, groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.gics import ICENABLER, IGROUPR, ISENABLER, ISPENDR, SPURIOUS, V2

ITARGETSR, SGIR, CPENDSGIR, SPENDSGIR = 0x800, 0xF00, 0xF10, 0xF20
CTLR, IAR, EOIR, ABPR, AIAR, AEOIR, AHPPIR = 0x00, 0x0C, 0x10, 0x1C, 0x20, 0x24, 0x28


def test_identification() -> None:
    gic = V2(cpus=3)
    assert gic.read_state(0x004, 0) == 2 << 5 | 3
    assert gic.read_state(0x008, 0) == 0x0200_143B
    assert gic.read(0xFC) == 0x0202_143B
    identity = bytes(gic.read_state(offset, 0) for offset in range(0xFD0, 0x1000, 4))
    assert identity.hex() == "0400000090b42b000df005b1"


def test_one_processor_is_the_target_of_all() -> None:
    gic = V2()
    gic.write_state(ITARGETSR + 40, 40, 0)
    assert gic.read_state(ITARGETSR + 40, 40) == 0
    gic.enable(40)
    gic.drive(40, True)
    assert gic.signalled


def test_targets_of_private_interrupts_tell_who_asks() -> None:
    gic = V2(cpus=2)
    for gic.cpu in (0, 1):
        gic.write_state(ITARGETSR, 0, 0xFFFF_FFFF)
        assert gic.read_state(ITARGETSR + 28, 28) == 0x0101_0101 << gic.cpu


def test_shared_interrupts_go_to_their_targets() -> None:
    gic = V2(cpus=2)
    gic.enable(40)
    gic.drive(40, True)
    levels = []
    for targets in (0b00, 0b01, 0b10, 0b11):
        gic.write_state(ITARGETSR + 40, 40, targets, 1)
        levels.append([wire.level for wire in gic.irq])
    assert levels == [[False, False], [True, False], [False, True], [True, True]]


def test_targets_that_do_not_exist_are_ignored() -> None:
    gic = V2(cpus=2)
    gic.write_state(ITARGETSR + 40, 40, 0xFF, 1)
    assert gic.read_state(ITARGETSR + 40, 40, 1) == 0b11


def test_an_interrupt_taken_by_one_is_gone_for_the_other() -> None:
    gic = V2(cpus=2)
    gic.enable(40)
    gic.write_state(ITARGETSR + 40, 40, 0b11, 1)
    gic.drive(40, True)
    gic.cpu = 1
    assert gic.acknowledge() == 40
    assert [wire.level for wire in gic.irq] == [False, False]
    gic.end(40)
    assert [wire.level for wire in gic.irq] == [True, True], "its line is still asserted"


def test_private_interrupts_are_banked() -> None:
    gic = V2(cpus=2)
    gic.cpu = 1
    gic.enable(27)
    gic.set_priority(27, 0x40)
    gic.cpu = 0
    assert gic.priority(27) == 0
    gic.cpu = 1
    gic.drive(27, True)
    assert [wire.level for wire in gic.irq] == [False, True]


@pytest.mark.parametrize(
    ("request_word", "reached"),
    [
        (0b110 << 16, [1, 2]),
        (0xFF << 16, [0, 1, 2]),
        (1 << 24, [0, 2]),
        (2 << 24, [1]),
        (3 << 24 | 0xFF << 16, []),
    ],
)
def test_sgis_reach_their_targets(request_word: int, reached: list[int]) -> None:
    gic = V2(cpus=3)
    for gic.cpu in range(3):
        gic.enable(5)
    gic.cpu = 1
    gic.write_state(SGIR, 0, request_word | 5)
    assert [cpu for cpu in range(3) if gic.irq[cpu].level] == reached
    for gic.cpu in reached:
        assert gic.acknowledge() == 1 << 10 | 5


def test_sgis_are_always_enabled() -> None:
    gic = V2()
    gic.write_state(ICENABLER, 0, 0xFFFF_FFFF)
    assert gic.read_state(ISENABLER, 0) == 0xFFFF


def test_sgis_from_two_senders_are_two_interrupts() -> None:
    gic = V2(cpus=3)
    gic.enable(5)
    for gic.cpu in (1, 2):
        gic.write_state(SGIR, 0, 1 << 16 | 5)
    gic.cpu = 0
    assert gic.read_state(SPENDSGIR + 4, 0) == 0b110 << 8
    taken = []
    for _ in range(2):
        taken.append(gic.acknowledge())
        gic.end(taken[-1])
    assert taken == [1 << 10 | 5, 2 << 10 | 5]
    assert gic.acknowledge() == SPURIOUS


def test_pending_sgis_can_be_set_and_cleared_by_sender() -> None:
    gic = V2(cpus=2)
    gic.enable(7)
    gic.write_state(SPENDSGIR + 7, 0, 0b11, 1)
    assert gic.signalled
    gic.write_state(CPENDSGIR + 7, 0, 0b01, 1)
    assert gic.acknowledge() == 1 << 10 | 7
    gic.end(7)
    assert not gic.signalled


def test_sgis_cannot_be_made_pending_like_others() -> None:
    gic = V2()
    gic.enable(5)
    gic.write_state(ISPENDR, 0, 0xFFFF)
    assert not gic.signalled


def test_groups_need_both_their_enables() -> None:
    gic = V2()
    gic.enable(40, 41)
    gic.set_bit(IGROUPR, 41)
    gic.drive(40, True)
    gic.write_state(0x000, 0, 2)
    assert gic.highest_pending() == SPURIOUS
    gic.drive(41, True)
    assert gic.signalled
    gic.write(CTLR, 1)
    assert not gic.signalled


def test_group_1_is_acknowledged_by_its_alias_or_with_ackctl() -> None:
    gic = V2()
    gic.enable(41)
    gic.set_bit(IGROUPR, 41)
    gic.drive(41, True)
    assert gic.read(IAR) == 1022
    assert gic.highest_pending() == 1022
    assert gic.read(AHPPIR) == 41
    assert gic.read(AIAR) == 41
    gic.drive(41, False)
    gic.write(AEOIR, 41)
    gic.drive(41, True)
    gic.write(CTLR, 0b111)
    assert gic.read(IAR) == 41


def test_the_alias_does_not_acknowledge_group_0() -> None:
    gic = V2()
    gic.enable(40)
    gic.drive(40, True)
    assert (gic.read(AIAR), gic.read(AHPPIR)) == (SPURIOUS, SPURIOUS)


def test_active_priorities_can_be_saved_and_restored_by_the_guest() -> None:
    gic = V2()
    gic.enable(40)
    gic.set_priority(40, 0x80)
    gic.drive(40, True)
    gic.acknowledge()
    assert gic.read(0xD0) == 1 << 16
    gic.write(0xD0, 0)
    assert gic.running() == 0xFF
    gic.write(0xE0, 1 << 8)
    assert (gic.running(), gic.read(0xE0)) == (0x40, 1 << 8)


def test_at_most_eight_processors() -> None:
    with pytest.raises(ValueError, match="at most 8"):
        V2(cpus=9)


STEPS = st.tuples(
    st.integers(0, 2),
    st.booleans(),
    st.one_of(st.integers(0, 0x1010), st.integers(0, 0x50)),
    st.sampled_from((1, 2, 4, 8)),
    st.integers(0, 2**64 - 1),
)


@given(st.lists(STEPS, max_size=60))
def test_no_sequence_of_accesses_breaks_it(steps: list[tuple[int, bool, int, int, int]]) -> None:
    gic = V2(cpus=3)
    for cpu, distributor, offset, size, value in steps:
        gic.cpu = cpu
        region = gic.gic.distributor if distributor else gic.gic.cpu_interface
        region.write(offset, size, value & ((1 << 8 * size) - 1))
        gic.drive(32 + value % 96, bool(value & 1 << 50))
        assert 0 <= region.read(offset, size) < 1 << 8 * size
        for other in range(3):
            assert gic.irq[other].level == gic.gic.signalled(other)
