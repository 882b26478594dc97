"""The 8259 pair: one behaviour a test, then priorities against a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.parts import Wire
from vmm.devices.i8259 import I8259Pair

MASTER, SLAVE = 0x20, 0x30

EOI, SPECIFIC_EOI = 0x20, 0x60
READ_IRR, READ_ISR, POLL = 0x0A, 0x0B, 0x0C
SPECIAL_MASK, NO_SPECIAL_MASK = 0x68, 0x48


class Pair:
    """A pair, initialised as every PC kernel does: vectors 0x20 and 0x30."""

    def __init__(self, icw4: int = 0x01, icw1: int = 0x11) -> None:
        self.pic = I8259Pair()
        self.intr = Wire()
        self.pic.connect(self.intr)
        for chip, base, identity in ((self.pic.master, MASTER, 4), (self.pic.slave, SLAVE, 2)):
            chip.write(0, 1, icw1)
            for word in (base, identity, icw4):
                chip.write(1, 1, word)

    def pulse(self, irq: int) -> None:
        line = self.pic.line(irq)
        line(True)
        line(False)

    def command(self, value: int, *, slave: bool = False) -> None:
        (self.pic.slave if slave else self.pic.master).write(0, 1, value)

    def status(self, ocw3: int, *, slave: bool = False) -> int:
        self.command(ocw3, slave=slave)
        return (self.pic.slave if slave else self.pic.master).read(0, 1)

    def mask(self, value: int, *, slave: bool = False) -> None:
        (self.pic.slave if slave else self.pic.master).write(1, 1, value)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_an_edge_requests_and_is_acknowledged_with_its_vector(pair: Pair) -> None:
    pair.pulse(3)
    assert pair.intr.level
    assert pair.pic.pending()
    assert pair.pic.acknowledge() == MASTER + 3
    assert not pair.intr.level


def test_no_request_is_a_spurious_interrupt_7_not_in_service(pair: Pair) -> None:
    assert pair.pic.acknowledge() == MASTER + 7
    assert pair.status(READ_ISR) == 0


def test_a_slave_interrupt_passes_both_chips(pair: Pair) -> None:
    pair.pulse(12)
    assert pair.pic.acknowledge() == SLAVE + 4
    assert (pair.status(READ_ISR), pair.status(READ_ISR, slave=True)) == (0x04, 0x10)
    pair.command(EOI, slave=True)
    pair.command(EOI)
    assert (pair.status(READ_ISR), pair.status(READ_ISR, slave=True)) == (0, 0)


def test_masked_inputs_request_when_unmasked(pair: Pair) -> None:
    pair.mask(0xFF)
    pair.pulse(1)
    assert not pair.intr.level
    assert pair.status(READ_IRR) == 0x02
    pair.mask(0)
    assert pair.intr.level


def test_the_mask_can_be_read_back(pair: Pair) -> None:
    pair.mask(0xA5)
    assert pair.pic.master.read(1, 1) == 0xA5


def test_lower_priority_waits_for_the_end_of_interrupt(pair: Pair) -> None:
    pair.pulse(3)
    pair.pic.acknowledge()
    pair.pulse(5)
    assert not pair.intr.level
    pair.pulse(1)
    assert pair.intr.level
    assert pair.pic.acknowledge() == MASTER + 1
    pair.command(EOI)
    assert pair.status(READ_ISR) == 0x08, "a non-specific EOI ends the highest one"
    pair.command(EOI)
    assert pair.pic.acknowledge() == MASTER + 5


def test_specific_end_of_interrupt(pair: Pair) -> None:
    for irq in (5, 1):
        pair.pulse(irq)
        pair.pic.acknowledge()
    pair.command(SPECIFIC_EOI | 5)
    assert pair.status(READ_ISR) == 0x02


def test_automatic_end_of_interrupt() -> None:
    pair = Pair(icw4=0x03)
    pair.pulse(3)
    pair.pic.acknowledge()
    assert pair.status(READ_ISR) == 0


def test_rotation_in_automatic_mode() -> None:
    pair = Pair(icw4=0x03)
    pair.command(0x80)
    for irq in (0, 1):
        pair.pulse(irq)
    assert pair.pic.acknowledge() == MASTER
    pair.pulse(0)
    assert pair.pic.acknowledge() == MASTER + 1, "input 0 has become the lowest"
    pair.command(0x00)
    pair.pulse(1)
    assert pair.pic.acknowledge() == MASTER + 0


def test_rotation_on_end_of_interrupt(pair: Pair) -> None:
    pair.pulse(4)
    pair.pic.acknowledge()
    pair.command(0xA0)
    pair.pulse(4)
    pair.pulse(5)
    assert pair.pic.acknowledge() == MASTER + 5


def test_setting_the_lowest_priority(pair: Pair) -> None:
    pair.command(0xC0 | 2)
    for irq in (0, 3):
        pair.pulse(irq)
    assert pair.pic.acknowledge() == MASTER + 3


def test_special_mask_mode_lets_lower_priorities_in(pair: Pair) -> None:
    pair.pulse(1)
    pair.pic.acknowledge()
    pair.mask(0x02)
    pair.pulse(4)
    assert not pair.intr.level
    pair.command(SPECIAL_MASK)
    assert pair.pic.acknowledge() == MASTER + 4
    pair.command(EOI)
    assert pair.status(READ_ISR) == 0x02, "masked inputs are ended by specific EOIs only"
    pair.command(NO_SPECIAL_MASK)
    pair.pulse(5)
    assert not pair.intr.level


def test_special_fully_nested_mode_lets_the_slave_interrupt_itself() -> None:
    for icw4, nested in ((0x01, False), (0x11, True)):
        pair = Pair(icw4=icw4)
        pair.pulse(10)
        pair.pic.acknowledge()
        pair.pulse(8)
        assert pair.intr.level == nested


def test_polling_acknowledges(pair: Pair) -> None:
    pair.pulse(6)
    assert pair.status(POLL) == 0x86
    assert pair.status(READ_ISR) == 0x40
    assert pair.status(POLL) == 0


def test_a_level_input_requests_until_it_falls(pair: Pair) -> None:
    pair.pic.elcr.write(0, 1, 1 << 5)
    line = pair.pic.line(5)
    line(True)
    assert pair.pic.acknowledge() == MASTER + 5
    assert pair.status(READ_IRR) == 0x20
    pair.command(EOI)
    assert pair.intr.level
    line(False)
    assert not pair.intr.level


def test_an_edge_input_requests_once(pair: Pair) -> None:
    pair.pic.line(5)(True)
    pair.pic.acknowledge()
    pair.command(EOI)
    pair.pic.line(5)(True)
    assert not pair.intr.level


def test_some_inputs_are_always_edge_triggered(pair: Pair) -> None:
    pair.pic.elcr.write(0, 2, 0xFFFF)
    assert pair.pic.elcr.read(0, 2) == 0xDEF8


def test_level_mode_of_all_inputs() -> None:
    pair = Pair(icw1=0x19)
    pair.pic.line(1)(True)
    pair.pic.acknowledge()
    pair.command(EOI)
    assert pair.intr.level


def test_initialization_clears_mask_service_and_edges(pair: Pair) -> None:
    pair.mask(0xFF)
    pair.pulse(3)
    pair.pulse(4)
    pair.mask(0)
    pair.pic.acknowledge()
    pair.command(0x11)
    assert not pair.intr.level
    for word in (0x48, 4, 1):
        pair.pic.master.write(1, 1, word)
    assert pair.pic.master.read(1, 1) == 0
    assert (pair.status(READ_IRR), pair.status(READ_ISR)) == (0, 0)
    pair.pulse(0)
    assert pair.pic.acknowledge() == 0x48


def test_initialization_without_icw3_and_icw4() -> None:
    pic = I8259Pair()
    pic.master.write(0, 1, 0x12)
    pic.master.write(1, 1, 0x80)
    pic.master.write(1, 1, 0x0F)
    assert pic.master.read(1, 1) == 0x0F


def test_the_cascade_is_no_line() -> None:
    pic = I8259Pair()
    for irq in (-1, 2, 16):
        with pytest.raises(ValueError, match="no line"):
            pic.line(irq)


def test_a_restored_pair_goes_on(pair: Pair) -> None:
    pair.pulse(14)
    pair.pic.acknowledge()
    pair.pulse(1)
    new = Pair()
    new.pic.load(pair.pic.save())
    assert new.intr.level
    assert new.pic.acknowledge() == MASTER + 1
    assert new.status(READ_ISR, slave=True) == 0x40


class Model:
    """One 8259 in words of lists: who requests, who is served, who comes first."""

    def __init__(self) -> None:
        self.order = list(range(8))
        self.requests: set[int] = set()
        self.serviced: list[int] = []
        self.mask = 0

    def choice(self) -> int | None:
        candidates = [i for i in self.order if i in self.requests and not self.mask >> i & 1]
        limit = min((self.order.index(i) for i in self.serviced), default=8)
        return next((i for i in candidates if self.order.index(i) < limit), None)

    def rotate_behind(self, irq: int) -> None:
        cut = self.order.index(irq) + 1
        self.order = self.order[cut:] + self.order[:cut]


IRQS = st.sampled_from((0, 1, 3, 4, 5, 6, 7))
STEPS = st.one_of(
    st.tuples(st.just("pulse"), IRQS),
    st.tuples(st.just("mask"), st.integers(0, 255)),
    st.tuples(st.just("acknowledge"), st.just(0)),
    st.tuples(st.sampled_from(("eoi", "rotate")), st.just(0)),
    st.tuples(st.sampled_from(("specific", "rotate specific", "lowest")), st.integers(0, 7)),
)


@given(st.lists(STEPS, max_size=60))
def test_priorities_agree_with_the_model(steps: list[tuple[str, int]]) -> None:
    pair, model = Pair(), Model()
    for step, argument in steps:
        first = min(model.serviced, key=model.order.index, default=None)
        if step == "pulse":
            pair.pulse(argument)
            model.requests.add(argument)
        elif step == "mask":
            pair.mask(argument)
            model.mask = argument
        elif step == "acknowledge":
            choice = model.choice()
            assert pair.pic.acknowledge() == MASTER + (7 if choice is None else choice)
            if choice is not None:
                model.requests.discard(choice)
                model.serviced.append(choice)
        elif step in ("eoi", "rotate"):
            pair.command(0x20 if step == "eoi" else 0xA0)
            if first is not None:
                model.serviced.remove(first)
                if step == "rotate":
                    model.rotate_behind(first)
        else:
            pair.command(
                {"specific": 0x60, "rotate specific": 0xE0, "lowest": 0xC0}[step] | argument
            )
            if step != "lowest" and argument in model.serviced:
                model.serviced.remove(argument)
            if step != "specific":
                model.rotate_behind(argument)
        assert pair.intr.level == pair.pic.pending() == (model.choice() is not None)
        assert pair.status(READ_IRR) == sum(1 << irq for irq in model.requests)
        assert pair.status(READ_ISR) == sum(1 << irq for irq in model.serviced)


ACCESSES = st.tuples(
    st.integers(0, 2), st.integers(0, 2), st.sampled_from((1, 2, 4)), st.integers(0, 2**32 - 1)
)


@given(st.lists(st.one_of(ACCESSES, st.integers(0, 31)), max_size=60))
def test_no_sequence_of_accesses_breaks_it(steps: list[tuple[int, int, int, int] | int]) -> None:
    pair = Pair()
    for step in steps:
        if isinstance(step, int):
            if step & 15 != 2:
                pair.pic.line(step & 15)(bool(step & 16))
            continue
        part, offset, size, value = step
        region = pair.pic.regions[part]
        region.write(offset, size, value & ((1 << 8 * size) - 1))
        assert 0 <= region.read(offset, size) < 1 << 8 * size
        assert pair.intr.level == pair.pic.pending()
        if pair.intr.level:
            assert 0 <= pair.pic.acknowledge() <= 0xFF
        assert pair.intr.level == pair.pic.pending()
