"""What both versions of the GIC do alike: state of interrupts, priorities, acknowledge and end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.gics import (
    ICACTIVER,
    ICENABLER,
    ICFGR,
    ICPENDR,
    IGROUPR,
    IPRIORITYR,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    SPURIOUS,
    V2,
    V3,
    Harness,
)
from vmm.devices.gicv2 import GicV2
from vmm.devices.gicv3 import GicV3

SPI, OTHER_SPI, PPI = 33, 70, 27


@pytest.fixture(params=[V2, V3], ids=["v2", "v3"])
def gic(request: pytest.FixtureRequest) -> Harness:
    harness: Harness = request.param()
    return harness


def test_nothing_is_pending_after_reset(gic: Harness) -> None:
    assert (gic.acknowledge(), gic.highest_pending(), gic.running()) == (SPURIOUS, SPURIOUS, 0xFF)
    assert not gic.signalled


@pytest.mark.parametrize("intid", [PPI, SPI, OTHER_SPI, 127])
def test_a_level_interrupt_from_line_to_end(gic: Harness, intid: int) -> None:
    gic.enable(intid)
    gic.drive(intid, True)
    assert gic.signalled
    assert gic.bit(ISPENDR, intid)
    assert gic.highest_pending() == intid
    assert gic.acknowledge() == intid
    assert not gic.signalled
    assert gic.bit(ISACTIVER, intid)
    gic.drive(intid, False)
    gic.end(intid)
    assert not gic.bit(ISACTIVER, intid)
    assert (gic.signalled, gic.acknowledge()) == (False, SPURIOUS)


def test_a_level_that_stays_interrupts_again(gic: Harness) -> None:
    gic.enable(SPI)
    gic.drive(SPI, True)
    for _ in range(3):
        assert gic.acknowledge() == SPI
        gic.end(SPI)
        assert gic.signalled


def test_a_level_that_falls_is_pending_no_more(gic: Harness) -> None:
    gic.enable(SPI)
    gic.drive(SPI, True)
    gic.drive(SPI, False)
    assert (gic.signalled, gic.acknowledge()) == (False, SPURIOUS)


def test_an_edge_is_remembered_and_taken_once(gic: Harness) -> None:
    gic.set_edge(SPI, True)
    gic.enable(SPI)
    gic.drive(SPI, True)
    gic.drive(SPI, False)
    assert gic.acknowledge() == SPI
    gic.end(SPI)
    assert gic.acknowledge() == SPURIOUS


def test_an_edge_while_active_is_pending_after_the_end(gic: Harness) -> None:
    gic.set_edge(SPI, True)
    gic.enable(SPI)
    gic.drive(SPI, True)
    gic.acknowledge()
    gic.drive(SPI, False)
    gic.drive(SPI, True)
    assert not gic.signalled
    gic.end(SPI)
    assert gic.signalled


def test_a_disabled_interrupt_is_pending_but_not_signalled(gic: Harness) -> None:
    gic.drive(SPI, True)
    assert gic.bit(ISPENDR, SPI)
    assert not gic.signalled
    gic.enable(SPI)
    assert gic.signalled
    gic.set_bit(ICENABLER, SPI)
    assert (gic.signalled, gic.bit(ISENABLER, SPI)) == (False, False)


def test_software_can_set_and_clear_pending(gic: Harness) -> None:
    gic.enable(SPI, PPI)
    for intid in (SPI, PPI):
        gic.set_bit(ISPENDR, intid)
        assert gic.signalled
        gic.set_bit(ICPENDR, intid)
        assert not gic.signalled


def test_clearing_pending_does_not_silence_a_level(gic: Harness) -> None:
    gic.enable(SPI)
    gic.drive(SPI, True)
    gic.set_bit(ICPENDR, SPI)
    assert gic.signalled


def test_software_can_set_and_clear_active(gic: Harness) -> None:
    gic.enable(SPI)
    gic.drive(SPI, True)
    gic.set_bit(ISACTIVER, SPI)
    assert not gic.signalled
    gic.set_bit(ICACTIVER, SPI)
    assert gic.signalled


def test_a_byte_of_a_bitmap_is_written_alone(gic: Harness) -> None:
    gic.enable(64, 72, 80)
    gic.write_state(ICENABLER + 8 + 1, 64, 0xFF, 1)
    assert gic.read_state(ISENABLER + 8, 64) == 0x0001_0001
    gic.write_state(ISENABLER + 8 + 3, 64, 0x01, 1)
    assert gic.read_state(ISENABLER + 8, 64) == 0x0101_0001


def test_priorities_have_five_bits(gic: Harness) -> None:
    for intid in (PPI, SPI):
        gic.set_priority(intid, 0xFF)
        assert gic.priority(intid) == 0xF8
    gic.write_state(IPRIORITYR + 36, 36, 0x1122_3344)
    assert gic.read_state(IPRIORITYR + 36, 36) == 0x1020_3040


def test_the_highest_priority_comes_first_then_the_lowest_number(gic: Harness) -> None:
    gic.enable(SPI, OTHER_SPI, PPI)
    gic.set_priority(SPI, 0x80)
    gic.set_priority(PPI, 0x80)
    gic.set_priority(OTHER_SPI, 0x40)
    for intid in (SPI, OTHER_SPI, PPI):
        gic.drive(intid, True)
    taken = []
    for _ in range(3):
        intid = gic.acknowledge()
        gic.drive(intid, False)
        gic.end(intid)
        taken.append(intid)
    assert taken == [OTHER_SPI, PPI, SPI]


def test_the_priority_mask_holds_back_equal_and_lower(gic: Harness) -> None:
    gic.enable(SPI)
    gic.set_priority(SPI, 0x80)
    gic.drive(SPI, True)
    gic.set_mask(0x80)
    assert (gic.signalled, gic.acknowledge()) == (False, SPURIOUS)
    assert gic.highest_pending() == SPI
    gic.set_mask(0x88)
    assert gic.signalled


def test_a_higher_priority_preempts_and_an_equal_does_not(gic: Harness) -> None:
    for intid, priority in ((40, 0x80), (41, 0x80), (42, 0x40)):
        gic.enable(intid)
        gic.set_priority(intid, priority)
    gic.drive(40, True)
    assert gic.acknowledge() == 40
    assert gic.running() == 0x80
    gic.drive(41, True)
    assert not gic.signalled
    gic.drive(42, True)
    assert gic.acknowledge() == 42
    assert gic.running() == 0x40
    gic.drive(42, False)
    gic.end(42)
    assert gic.running() == 0x80
    gic.drive(40, False)
    gic.end(40)
    assert gic.running() == 0xFF
    assert gic.acknowledge() == 41


def test_the_binary_point_keeps_a_group_from_preempting_itself(gic: Harness) -> None:
    for intid, priority in ((40, 0xC0), (41, 0x80), (42, 0x40)):
        gic.enable(intid)
        gic.set_priority(intid, priority)
    gic.set_binary_point(6)
    gic.drive(40, True)
    gic.acknowledge()
    assert gic.running() == 0x80
    gic.drive(41, True)
    assert not gic.signalled
    gic.drive(42, True)
    assert gic.signalled


def test_the_binary_point_has_a_minimum(gic: Harness) -> None:
    for intid, priority in ((40, 0x88), (41, 0x80)):
        gic.enable(intid)
        gic.set_priority(intid, priority)
    gic.set_binary_point(0)
    gic.drive(40, True)
    gic.acknowledge()
    gic.drive(41, True)
    assert gic.acknowledge() == 41


def test_priority_drop_and_deactivation_can_be_apart(gic: Harness) -> None:
    gic.set_eoi_mode(True)
    gic.enable(SPI, OTHER_SPI)
    gic.drive(SPI, True)
    gic.acknowledge()
    gic.end(SPI)
    assert gic.running() == 0xFF
    assert gic.bit(ISACTIVER, SPI)
    assert not gic.signalled
    gic.drive(OTHER_SPI, True)
    assert gic.acknowledge() == OTHER_SPI
    gic.deactivate(SPI)
    assert not gic.bit(ISACTIVER, SPI)


def test_deactivation_without_the_mode_has_no_effect(gic: Harness) -> None:
    gic.enable(SPI)
    gic.drive(SPI, True)
    gic.acknowledge()
    gic.deactivate(SPI)
    assert gic.bit(ISACTIVER, SPI)


def test_ending_what_is_not_there_has_no_effect(gic: Harness) -> None:
    for intid in (SPI, 500, 1019, 1020, SPURIOUS, 0xFFFF_FFFF):
        gic.end(intid)
        gic.set_eoi_mode(True)
        gic.deactivate(intid)
        gic.set_eoi_mode(False)
    gic.enable(SPI)
    gic.drive(SPI, True)
    assert gic.acknowledge() == SPI


def test_interrupts_that_do_not_exist_read_as_zero(gic: Harness) -> None:
    for register in (ISENABLER, ISPENDR, ISACTIVER, IGROUPR):
        gic.write_state(register + 4 * 4, 128, 0xFFFF_FFFF)
        assert gic.read_state(register + 4 * 4, 128) == 0
    gic.write_state(IPRIORITYR + 128, 128, 0xFFFF_FFFF)
    gic.write_state(ICFGR + 4 * 8, 128, 0xFFFF_FFFF)
    assert gic.read_state(IPRIORITYR + 128, 128) == 0
    assert gic.read_state(ICFGR + 4 * 8, 128) == 0


def test_sgis_are_always_edge_triggered(gic: Harness) -> None:
    gic.write_state(ICFGR, 0, 0)
    assert gic.read_state(ICFGR, 0) == 0xAAAA_AAAA


def test_configuration_can_be_read_back(gic: Harness) -> None:
    gic.write_state(ICFGR + 4, 16, 0xFFFF_0000)
    gic.write_state(ICFGR + 12, 48, 0x8888_8888)
    assert gic.read_state(ICFGR + 4, 16) == 0xAAAA_0000
    assert gic.read_state(ICFGR + 12, 48) == 0x8888_8888


@pytest.mark.parametrize("version", [GicV2, GicV3])
def test_wires_that_do_not_exist_are_refused(version: type[GicV2 | GicV3]) -> None:
    gic = version(irq_lines=[lambda level: None], interrupts=64)
    for intid in (-1, 31, 64, 1020):
        with pytest.raises(ValueError, match="no shared"):
            gic.line(intid)
    for intid in (-1, 15, 32):
        with pytest.raises(ValueError, match="not a private"):
            gic.private_line(0, intid)
    for number in (32, 100, 1056):
        with pytest.raises(ValueError, match="in steps of 32"):
            version(irq_lines=[lambda level: None], interrupts=number)


@pytest.mark.parametrize("version", [V2, V3])
def test_a_restored_gic_goes_on(version: type[V2 | V3]) -> None:
    old, new = version(), version()
    old.enable(40, 41, 42)
    old.set_priority(40, 0x80)
    old.set_priority(41, 0x40)
    old.drive(40, True)
    old.acknowledge()
    old.drive(41, True)
    old.drive(42, True)
    new.gic.load(old.gic.save())
    assert new.signalled
    assert new.running() == 0x80
    assert [new.acknowledge(), new.acknowledge()] == [42, SPURIOUS]
    assert old.acknowledge() == 42
    assert new.gic.save() == old.gic.save()


STEPS = st.one_of(
    st.tuples(st.sampled_from(("enable", "disable")), st.integers(27, 37)),
    st.tuples(st.sampled_from(("raise", "lower", "pend", "unpend")), st.integers(27, 37)),
    st.tuples(st.just("priority"), st.integers(27, 37)),
    st.tuples(st.sampled_from(("acknowledge", "end")), st.just(0)),
)


class Model:
    """A GIC in words of sets: level interrupts, one processor, full preemption."""

    def __init__(self) -> None:
        self.enabled: set[int] = set()
        self.lines: set[int] = set()
        self.latched: set[int] = set()
        self.priorities = dict.fromkeys(range(27, 38), 0)
        self.stack: list[tuple[int, int]] = []

    def choice(self) -> int:
        active = {intid for intid, _ in self.stack}
        ready = (self.lines | self.latched) & self.enabled - active
        limit = self.stack[-1][1] if self.stack else 0xF8
        ready = {intid for intid in ready if self.priorities[intid] < limit}
        return min(ready, key=lambda intid: (self.priorities[intid], intid), default=SPURIOUS)


@pytest.mark.parametrize("version", [V2, V3])
@given(st.lists(st.tuples(STEPS, st.sampled_from((0x00, 0x40, 0x80, 0xC0))), max_size=80))
def test_it_agrees_with_the_model(
    version: type[V2 | V3], steps: list[tuple[tuple[str, int], int]]
) -> None:
    gic, model = version(), Model()
    for (step, intid), priority in steps:
        if step == "enable":
            gic.enable(intid)
            model.enabled.add(intid)
        elif step == "disable":
            gic.set_bit(ICENABLER, intid)
            model.enabled.discard(intid)
        elif step in ("raise", "lower"):
            gic.drive(intid, step == "raise")
            (model.lines.add if step == "raise" else model.lines.discard)(intid)
        elif step in ("pend", "unpend"):
            gic.set_bit(ISPENDR if step == "pend" else ICPENDR, intid)
            (model.latched.add if step == "pend" else model.latched.discard)(intid)
        elif step == "priority":
            gic.set_priority(intid, priority)
            model.priorities[intid] = priority
        elif step == "acknowledge":
            choice = model.choice()
            assert gic.acknowledge() == choice
            if choice != SPURIOUS:
                model.latched.discard(choice)
                model.stack.append((choice, model.priorities[choice]))
        elif model.stack:
            gic.end(model.stack.pop()[0])
        assert gic.signalled == (model.choice() != SPURIOUS)
        assert gic.running() == (model.stack[-1][1] if model.stack else 0xFF)
