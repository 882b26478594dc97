"""The GICv3: identification, routing, redistributors, system registers, SGIs, groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.gics import (
    AP0R0,
    AP1R0,
    ASGI1R,
    BPR0,
    BPR1,
    CTLR,
    EOIR0,
    EOIR1,
    HPPIR0,
    IAR0,
    IAR1,
    ICPENDR,
    IGROUPR,
    IGRPEN0,
    IGRPEN1,
    ISENABLER,
    ISPENDR,
    RPR,
    SGI0R,
    SGI1R,
    SPURIOUS,
    SRE,
    V3,
)
from vmm.devices.gicv3_cpu import system_register

IROUTER = 0x6000
WAKER = 0x14


def test_identification() -> None:
    gic = V3()
    distributor, redistributor = gic.gic.distributor, gic.gic.redistributors[0]
    assert distributor.read(0x000, 4) == 0x53
    assert distributor.read(0x004, 4) == 1 << 26 | 1 << 25 | 9 << 19 | 3
    assert distributor.read(0xFFE8, 4) == 0x3B
    assert redistributor.read(0xFFE8, 4) == 0x3B
    assert bytes(distributor.read(0xFFF0 + 4 * n, 4) for n in range(4)).hex() == "0df005b1"


def test_affinity_routing_cannot_be_turned_off() -> None:
    gic = V3()
    gic.gic.distributor.write(0x000, 4, 0)
    assert gic.gic.distributor.read(0x000, 4) == 0x50


def test_each_redistributor_names_its_processor_and_the_last_says_so() -> None:
    gic = V3(cpus=3)
    types = [redistributor.read(0x08, 8) for redistributor in gic.gic.redistributors]
    assert types == [0, 1 << 32 | 1 << 8, 2 << 32 | 2 << 8 | 1 << 4]
    assert gic.gic.redistributors[2].read(0x0C, 4) == 2


def test_waking_is_acknowledged_at_once() -> None:
    gic = V3()
    redistributor = gic.gic.redistributors[0]
    assert redistributor.read(WAKER, 4) == 0x6
    redistributor.write(WAKER, 4, 0)
    assert redistributor.read(WAKER, 4) == 0
    redistributor.write(WAKER, 4, 0x2)
    assert redistributor.read(WAKER, 4) == 0x6


def test_private_interrupts_are_not_in_the_distributor() -> None:
    gic = V3()
    gic.gic.distributor.write(ISENABLER, 4, 0xFFFF_FFFF)
    assert gic.gic.distributor.read(ISENABLER, 4) == 0
    assert gic.gic.redistributors[0].read(0x1_0000 + ISENABLER, 4) == 0


def test_shared_interrupts_are_not_in_a_redistributor() -> None:
    gic = V3()
    gic.gic.redistributors[0].write(0x1_0000 + ISENABLER + 4, 4, 0xFFFF_FFFF)
    assert gic.gic.distributor.read(ISENABLER + 4, 4) == 0


def test_shared_interrupts_go_where_they_are_routed() -> None:
    gic = V3(cpus=3)
    gic.enable(40)
    gic.drive(40, True)
    reached = []
    for affinity in (0, 1, 2, 3, 0x1_0000_0000, 0x100):
        gic.gic.distributor.write(IROUTER + 8 * 40, 8, affinity)
        reached.append([cpu for cpu in range(3) if gic.irq[cpu].level])
    assert reached == [[0], [1], [2], [], [], []]


def test_a_route_can_be_written_in_halves_and_has_no_other_bits() -> None:
    gic = V3()
    distributor = gic.gic.distributor
    distributor.write(IROUTER + 8 * 40 + 4, 4, 0xFFFF_FFFF)
    distributor.write(IROUTER + 8 * 40, 4, 0xFFFF_FFFF)
    assert distributor.read(IROUTER + 8 * 40, 8) == 0xFF_00FF_FFFF
    distributor.write(IROUTER + 8 * 500, 8, 1)
    assert distributor.read(IROUTER + 8 * 500, 8) == 0


def test_system_registers_after_reset() -> None:
    interface = V3().gic.cpu_interfaces[0]
    interface.reset()
    values = [interface.read_register(register) for register in (SRE, CTLR, BPR0, BPR1, RPR)]
    assert values == [7, 0x4_0400, 2, 3, 0xFF]


def test_all_registers_are_announced_by_their_encodings() -> None:
    encodings = V3().gic.cpu_interfaces[0].encodings()
    assert len(encodings) == len(set(encodings)) == 20
    for encoding in (IAR1, EOIR1, SGI1R, AP0R0, AP1R0, SRE):
        assert encoding in encodings


def test_a_trace_names_system_registers() -> None:
    interface = V3().gic.cpu_interfaces[0]
    name, fields = interface.decode(system_register(*SGI1R), 5 << 24 | 1, True)
    assert (name, fields["INTID"], fields["TARGET_LIST"]) == ("SGI1R", 5, 1)


def test_an_encoding_that_is_none_of_its_own_does_nothing() -> None:
    interface = V3().gic.cpu_interfaces[0]
    interface.write_register((3, 0, 1, 0, 0), 5)
    assert interface.read_register((3, 0, 1, 0, 0)) == 0


def test_the_system_register_interface_cannot_be_turned_off() -> None:
    gic = V3()
    gic.write(SRE, 0)
    assert gic.read(SRE) == 7


def test_a_common_binary_point() -> None:
    gic = V3()
    gic.write(BPR0, 4)
    gic.write(CTLR, 1)
    assert gic.read(BPR1) == 5
    gic.write(BPR1, 7)
    assert gic.read(BPR1) == 5
    gic.write(CTLR, 0)
    assert gic.read(BPR1) == 3


@pytest.mark.parametrize(
    ("word", "reached"),
    [
        (0b0110, [1, 2]),
        (0xFFFF, [0, 1, 2]),
        (1 << 40, [0, 2]),
        (1 << 16 | 0xFFFF, []),
        (1 << 32 | 0xFFFF, []),
        (1 << 48 | 0xFFFF, []),
        (1 << 44 | 0xFFFF, []),
    ],
    ids=["list", "all", "others", "affinity 1", "affinity 2", "affinity 3", "range"],
)
def test_sgis_reach_their_targets(word: int, reached: list[int]) -> None:
    gic = V3(cpus=3)
    for gic.cpu in range(3):
        gic.enable(5)
    gic.cpu = 1
    gic.write(SGI1R, word | 5 << 24)
    assert [cpu for cpu in range(3) if gic.irq[cpu].level] == reached
    for gic.cpu in reached:
        assert gic.acknowledge() == 5


def test_the_range_selector_reaches_processors_from_16() -> None:
    gic = V3(cpus=18)
    for gic.cpu in range(18):
        gic.enable(5)
    gic.write(SGI1R, 1 << 44 | 0b10 | 5 << 24)
    assert [cpu for cpu in range(18) if gic.irq[cpu].level] == [17]


def test_sgis_reach_only_their_group() -> None:
    gic = V3()
    gic.enable(5)
    gic.write(SGI0R, 1 | 5 << 24)
    assert not gic.bit(ISPENDR, 5)
    gic.write_state(IGROUPR, 0, 0)
    gic.write(SGI1R, 1 | 5 << 24)
    assert not gic.bit(ISPENDR, 5)
    gic.write(SGI0R, 1 | 5 << 24)
    assert gic.bit(ISPENDR, 5)
    gic.set_bit(ICPENDR, 5)
    gic.write(ASGI1R, 1 | 5 << 24)
    assert gic.bit(ISPENDR, 5)


def test_group_0_is_polled_and_never_an_irq() -> None:
    gic = V3()
    gic.write(IGRPEN0, 1)
    gic.write_state(IGROUPR + 4, 32, 0)
    gic.enable(40)
    gic.drive(40, True)
    assert not gic.signalled
    assert (gic.read(IAR1), gic.read(HPPIR0), gic.read(IAR0)) == (SPURIOUS, 40, 40)
    gic.drive(40, False)
    gic.write(EOIR1, 40)
    assert gic.running() == 0, "the end of the other group is not its end"
    gic.write(EOIR0, 40)
    assert gic.running() == 0xFF


def test_group_1_needs_its_enables() -> None:
    gic = V3()
    gic.enable(40)
    gic.drive(40, True)
    gic.write(IGRPEN1, 0)
    assert (gic.signalled, gic.acknowledge()) == (False, SPURIOUS)
    gic.write(IGRPEN1, 1)
    gic.gic.distributor.write(0x000, 4, 1)
    assert (gic.signalled, gic.acknowledge()) == (False, SPURIOUS)
    gic.gic.distributor.write(0x000, 4, 2)
    assert gic.acknowledge() == 40


def test_active_priorities_can_be_saved_and_restored_by_the_guest() -> None:
    gic = V3()
    gic.enable(40)
    gic.set_priority(40, 0x80)
    gic.drive(40, True)
    gic.acknowledge()
    assert (gic.read(AP1R0), gic.read(AP0R0)) == (1 << 16, 0)
    gic.write(AP1R0, 0)
    assert gic.running() == 0xFF
    gic.write(AP0R0, 1 << 8)
    assert gic.running() == 0x40


REGISTERS = st.sampled_from(V3().gic.cpu_interfaces[0].encodings())
STEPS = st.one_of(
    st.tuples(
        st.just("distributor"),
        st.one_of(st.integers(0, 0x1000), st.integers(0x6000, 0x6400)),
        st.sampled_from((1, 2, 4, 8)),
    ),
    st.tuples(
        st.just("redistributor"),
        st.one_of(st.integers(0, 0x20), st.integers(0x1_0000, 0x1_0D10)),
        st.sampled_from((1, 2, 4, 8)),
    ),
    st.tuples(st.just("register"), REGISTERS, st.just(8)),
)


@given(st.lists(st.tuples(st.integers(0, 2), STEPS, st.integers(0, 2**64 - 1)), max_size=60))
def test_no_sequence_of_accesses_breaks_it(
    steps: list[tuple[int, tuple[str, int | tuple[int, int, int, int, int], int], int]],
) -> None:
    gic = V3(cpus=3)
    for cpu, (what, where, size), value in steps:
        gic.cpu = cpu
        if isinstance(where, tuple):
            gic.write(where, value)
            assert 0 <= gic.read(where) < 1 << 64
        else:
            region = gic.gic.distributor if what == "distributor" else gic.gic.redistributors[cpu]
            region.write(where, size, value & ((1 << 8 * size) - 1))
            assert 0 <= region.read(where, size) < 1 << 8 * size
        gic.drive(32 + value % 96, bool(value & 1 << 50))
        for other in range(3):
            assert gic.irq[other].level == gic.gic.signalled(other)
