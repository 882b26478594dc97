"""Local APICs: one behaviour a test, as the SDM words it; then vectors against a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.parts import ManualClock, Wire
from vmm.devices.apic_timer import MIN_PERIOD_NS
from vmm.devices.i8259 import I8259Pair
from vmm.devices.local_apics import LocalApics

ID, VERSION, TPR, APR, PPR, EOI = 0x20, 0x30, 0x80, 0x90, 0xA0, 0xB0
LDR, DFR, SVR, ISR, TMR, IRR, ESR = 0xD0, 0xE0, 0xF0, 0x100, 0x180, 0x200, 0x280
ICR, ICR2, LVT_TIMER, LINT0, LINT1, LVT_ERROR = 0x300, 0x310, 0x320, 0x350, 0x360, 0x370
TICR, TCCR, TDCR = 0x380, 0x390, 0x3E0

MASKED, PERIODIC, LEVEL, ASSERT = 1 << 16, 1 << 17, 1 << 15, 1 << 14
BY_ONE = 0b1011


class Processors:
    """Some processors with enabled APICs."""

    def __init__(self, count: int = 1, *, enable: bool = True) -> None:
        self.cpu = 0
        self.clock = ManualClock()
        self.ended: list[int] = []
        self.started: list[tuple[int, int]] = []
        self.initialized: list[int] = []
        self.apics = LocalApics(
            count=count,
            clock=self.clock,
            current_cpu=lambda: self.cpu,
            on_eoi=self.ended.append,
            on_init=self.initialized.append,
            on_startup=lambda apic, page: self.started.append((apic, page)),
        )
        self.intr = [Wire() for _ in range(count)]
        for cpu in range(count):
            self.apics.apics[cpu].connect(self.intr[cpu])
            if enable:
                self.write(SVR, 0x1FF, cpu)

    def read(self, offset: int, cpu: int = 0) -> int:
        self.cpu = cpu
        return self.apics.read(offset, 4)

    def write(self, offset: int, value: int, cpu: int = 0) -> None:
        self.cpu = cpu
        self.apics.write(offset, 4, value)

    def send(self, vector: int, *, to: int = 0, level: bool = False, logical: bool = False) -> None:
        address = 0xFEE0_0000 | to << 12 | logical << 2
        self.apics.send_message(address, vector | (LEVEL | ASSERT if level else 0))

    def vectors(self, base: int, cpu: int = 0) -> list[int]:
        words = [self.read(base + 16 * index, cpu) for index in range(8)]
        return [v for v in range(256) if words[v // 32] >> v % 32 & 1]

    def acknowledge(self, cpu: int = 0) -> int:
        return self.apics.apics[cpu].acknowledge()


@pytest.fixture
def one() -> Processors:
    return Processors()


def test_registers_after_reset() -> None:
    cpus = Processors(2, enable=False)
    expected = {
        ID: 0x0100_0000,
        VERSION: 0x5_0014,
        DFR: 0xFFFF_FFFF,
        SVR: 0xFF,
        **dict.fromkeys((LVT_TIMER, LINT0, LINT1, LVT_ERROR), MASKED),
        **dict.fromkeys((TPR, PPR, LDR, ICR, ICR2, TICR, TCCR, TDCR), 0),
    }
    assert {offset: cpus.read(offset, 1) for offset in expected} == expected
    assert cpus.read(LINT0, 0) == 0x700, "the bootstrap processor passes 8259 interrupts"


def test_a_message_interrupts(one: Processors) -> None:
    one.send(0x31)
    assert one.intr[0].level
    assert one.vectors(IRR) == [0x31]
    assert one.acknowledge() == 0x31
    assert (one.vectors(IRR), one.vectors(ISR)) == ([], [0x31])
    assert not one.intr[0].level
    one.write(EOI, 0)
    assert one.vectors(ISR) == []


def test_a_disabled_apic_accepts_nothing() -> None:
    cpus = Processors(enable=False)
    cpus.send(0x31)
    assert cpus.vectors(IRR) == []


def test_higher_vectors_come_first_and_nest(one: Processors) -> None:
    for vector in (0x31, 0x52, 0x58):
        one.send(vector)
    assert one.acknowledge() == 0x58
    assert not one.intr[0].level, "one class: no nesting"
    one.send(0x61)
    assert one.acknowledge() == 0x61
    assert one.read(PPR) == 0x60
    one.write(EOI, 0)
    assert not one.intr[0].level
    for vector in (0x52, 0x31):
        one.write(EOI, 0)
        assert one.acknowledge() == vector


def test_task_priority_holds_interrupts_back(one: Processors) -> None:
    one.write(TPR, 0x35)
    one.send(0x3F)
    assert not one.intr[0].level
    assert one.read(PPR) == 0x35
    one.write(TPR, 0x2F)
    assert one.intr[0].level


def test_an_interrupt_that_is_held_back_meanwhile_is_spurious(one: Processors) -> None:
    one.send(0x31)
    one.write(TPR, 0x30)
    assert one.acknowledge() == 0xFF
    assert one.vectors(ISR) == []


def test_only_level_interrupts_are_ended_at_the_ioapic(one: Processors) -> None:
    one.send(0x31)
    one.send(0x42, level=True)
    assert one.vectors(TMR) == [0x42]
    for _ in range(2):
        one.acknowledge()
        one.write(EOI, 0)
    assert one.ended == [0x42]
    one.write(EOI, 0)
    assert one.ended == [0x42]


def test_illegal_vectors_are_reported(one: Processors) -> None:
    one.write(LVT_ERROR, 0xFE)
    one.send(0x05)
    assert one.read(ESR) == 0
    one.write(ESR, 0)
    assert one.read(ESR) == 0x40
    assert one.acknowledge() == 0xFE
    one.write(ICR, 1 << 18 | 0x03)
    one.write(ESR, 0)
    assert one.read(ESR) == 0x20
    one.write(ESR, 0)
    assert one.read(ESR) == 0


def test_a_register_that_is_not_there_is_reported(one: Processors) -> None:
    assert one.read(0x010) == 0
    one.write(ESR, 0)
    assert one.read(ESR) == 0x80


def test_only_words_can_be_accessed(one: Processors) -> None:
    one.apics.write(TPR, 1, 0xFF)
    one.apics.write(TPR, 8, 0xFF)
    assert (one.read(TPR), one.apics.read(VERSION, 1)) == (0, 0)


# ---- Destinations ----


def test_each_processor_sees_its_own(one: Processors) -> None:
    cpus = Processors(2)
    cpus.write(TPR, 0x10, 0)
    cpus.write(TPR, 0x20, 1)
    assert [cpus.read(TPR, cpu) for cpu in (0, 1)] == [0x10, 0x20]


def test_physical_destination_and_broadcast() -> None:
    cpus = Processors(3)
    cpus.send(0x31, to=1)
    cpus.send(0x32, to=0xFF)
    cpus.send(0x33, to=9)
    assert [cpus.vectors(IRR, cpu) for cpu in range(3)] == [[0x32], [0x31, 0x32], [0x32]]


def test_logical_destination_flat() -> None:
    cpus = Processors(3)
    for cpu in range(3):
        cpus.write(LDR, 1 << 24 + cpu, cpu)
    cpus.send(0x31, to=0b101, logical=True)
    assert [cpus.vectors(IRR, cpu) for cpu in range(3)] == [[0x31], [], [0x31]]


def test_logical_destination_cluster() -> None:
    cpus = Processors(3)
    for cpu, logical in enumerate((0x11, 0x12, 0x21)):
        cpus.write(DFR, 0, cpu)
        cpus.write(LDR, logical << 24, cpu)
    cpus.send(0x31, to=0x13, logical=True)
    assert [cpus.vectors(IRR, cpu) for cpu in range(3)] == [[0x31], [0x31], []]


def test_lowest_priority_goes_to_the_least_busy() -> None:
    cpus = Processors(3)
    for cpu, priority in enumerate((0x50, 0x20, 0x40)):
        cpus.write(TPR, priority, cpu)
    cpus.apics.send_message(0xFEE0_0000 | 0xFF << 12, 0x100 | 0x61)
    assert [cpus.vectors(IRR, cpu) for cpu in range(3)] == [[], [0x61], []]


@pytest.mark.parametrize(
    ("shorthand", "reached"), [(1, [1]), (2, [0, 1, 2]), (3, [0, 2])], ids=["self", "all", "others"]
)
def test_ipi_shorthands(shorthand: int, reached: list[int]) -> None:
    cpus = Processors(3)
    cpus.write(ICR, shorthand << 18 | ASSERT | 0x71, 1)
    assert [cpu for cpu in range(3) if cpus.vectors(IRR, cpu) == [0x71]] == reached


def test_ipi_to_a_destination() -> None:
    cpus = Processors(2)
    cpus.write(ICR2, 1 << 24)
    cpus.write(ICR, ASSERT | 0x71)
    assert [cpus.vectors(IRR, cpu) for cpu in range(2)] == [[], [0x71]]
    assert cpus.read(ICR) == ASSERT | 0x71


def test_init_and_startup_reach_the_machine() -> None:
    cpus = Processors(2)
    cpus.write(ICR2, 1 << 24)
    cpus.write(ICR, 0x500 | LEVEL | ASSERT)
    cpus.write(ICR, 0x500 | LEVEL)
    cpus.write(ICR, 0x600 | 0x9A)
    assert (cpus.initialized, cpus.started) == ([1], [(1, 0x9A)])


def test_init_resets_the_apic_of_its_target() -> None:
    cpus = Processors(2)
    cpus.write(LVT_TIMER, PERIODIC | 0x40, 1)
    cpus.write(TICR, 100, 1)
    cpus.send(0x55, to=1)
    cpus.write(ICR2, 1 << 24)
    cpus.write(ICR, 0x500 | LEVEL | ASSERT)
    cpus.clock.advance(1_000_000)
    assert (cpus.intr[1].level, cpus.vectors(IRR, 1)) == (False, [])
    values = [cpus.read(offset, 1) for offset in (ID, SVR, LVT_TIMER, TICR, TCCR)]
    assert values == [1 << 24, 0xFF, MASKED, 0, 0]


def test_an_nmi_is_counted_as_unmodelled(one: Processors) -> None:
    one.write(ICR, 1 << 18 | 0x400)
    assert one.apics.apics[0].unmodelled == {"NMI": 1}


# ---- The timer ----


def test_a_one_shot_counts_to_zero_and_interrupts(one: Processors) -> None:
    one.write(TDCR, BY_ONE)
    one.write(LVT_TIMER, 0x40)
    one.write(TICR, 1000)
    one.clock.advance(400)
    assert one.read(TCCR) == 600
    one.clock.advance(599)
    assert (one.read(TCCR), one.intr[0].level) == (1, False)
    one.clock.advance(1)
    assert (one.read(TCCR), one.acknowledge()) == (0, 0x40)
    one.write(EOI, 0)
    one.clock.advance(10**9)
    assert not one.intr[0].level


@pytest.mark.parametrize(
    ("code", "divisor"),
    [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)],
)
def test_divide_configuration(code: int, divisor: int) -> None:
    cpus = Processors()
    cpus.write(TDCR, code)
    cpus.write(LVT_TIMER, 0x40)
    cpus.write(TICR, 1000)
    cpus.clock.advance(1000 * divisor - 1)
    assert not cpus.intr[0].level
    cpus.clock.advance(1)
    assert cpus.intr[0].level


def test_a_new_divisor_continues_from_the_current_count(one: Processors) -> None:
    one.write(TDCR, BY_ONE)
    one.write(TICR, 1000)
    one.clock.advance(500)
    one.write(TDCR, 0)
    assert one.read(TCCR) == 500
    one.clock.advance(500)
    assert one.read(TCCR) == 250


def test_a_periodic_timer_goes_on_and_on(one: Processors) -> None:
    one.write(TDCR, BY_ONE)
    one.write(LVT_TIMER, PERIODIC | 0x40)
    one.write(TICR, 1_000_000)
    for _ in range(5):
        one.clock.advance(1_000_000)
        assert one.acknowledge() == 0x40
        one.write(EOI, 0)
    assert one.read(TCCR) == 1_000_000


def test_periods_are_not_made_up_for_and_not_too_short(one: Processors) -> None:
    one.write(TDCR, BY_ONE)
    one.write(LVT_TIMER, PERIODIC | 0x40)
    one.write(TICR, 1)
    one.clock.advance(10 * MIN_PERIOD_NS)
    assert one.intr[0].rises == 1
    one.acknowledge()
    one.write(EOI, 0)
    one.clock.time += 1000 * MIN_PERIOD_NS
    one.clock.advance(0)
    assert one.intr[0].rises == 2
    assert all(t.deadline is None or t.deadline > one.clock.time for t in one.clock.timers)


def test_a_masked_timer_counts_without_interrupt(one: Processors) -> None:
    one.write(TICR, 1000)
    one.clock.advance(10_000)
    assert (one.read(TCCR), one.intr[0].level) == (0, False)


def test_a_count_of_zero_stops_the_timer(one: Processors) -> None:
    one.write(LVT_TIMER, 0x40)
    one.write(TICR, 1000)
    one.write(TICR, 0)
    one.clock.advance(10_000)
    assert (one.read(TCCR), one.intr[0].level) == (0, False)


# ---- LINT pins and the 8259 ----


def chain(cpus: Processors) -> I8259Pair:
    pic = I8259Pair()
    pic.connect(cpus.apics.apics[0].connect_external(pic))
    for word in ((0, 0x11), (1, 0x20), (1, 4), (1, 1)):
        pic.master.write(word[0], 1, word[1])
    return pic


def test_an_8259_passes_through_lint0_of_the_bootstrap_processor() -> None:
    cpus = Processors(enable=False)
    pic = chain(cpus)
    pic.line(4)(True)
    assert cpus.intr[0].level
    assert cpus.acknowledge() == 0x24
    assert (cpus.intr[0].level, cpus.vectors(ISR)) == (False, [])


def test_masking_lint0_cuts_the_8259_off(one: Processors) -> None:
    pic = chain(one)
    one.write(LINT0, MASKED | 0x700)
    pic.line(4)(True)
    assert not one.intr[0].level
    one.write(LINT0, 0x700)
    assert one.intr[0].level


def test_disabling_masks_local_interrupts_for_good(one: Processors) -> None:
    one.write(LVT_TIMER, 0x40)
    one.write(LVT_ERROR, 0x41)
    one.write(SVR, 0xFF)
    entries = [one.read(offset) for offset in (LVT_TIMER, LINT0, LINT1, LVT_ERROR)]
    assert all(entry & MASKED for entry in entries)
    one.write(LVT_TIMER, 0x40)
    one.write(LINT0, 0x700)
    assert one.read(LVT_TIMER) == MASKED | 0x40
    assert one.read(LINT0) == MASKED | 0x700


def test_lint1_as_a_fixed_interrupt_is_an_edge(one: Processors) -> None:
    apic = one.apics.apics[0]
    one.write(LINT1, 0x51)
    apic.set_lint(1, True)
    assert one.acknowledge() == 0x51
    one.write(EOI, 0)
    assert not one.intr[0].level


def test_lint0_as_a_level_interrupts_until_it_falls(one: Processors) -> None:
    apic = one.apics.apics[0]
    one.write(LINT0, LEVEL | 0x51)
    apic.set_lint(0, True)
    for _ in range(2):
        assert one.acknowledge() == 0x51
        assert one.read(LINT0) & 1 << 14
        one.write(EOI, 0)
    apic.set_lint(0, False)
    one.acknowledge()
    one.write(EOI, 0)
    assert not one.intr[0].level
    assert not one.read(LINT0) & 1 << 14


# ---- Whole device ----


def test_restored_processors_go_on() -> None:
    cpus = Processors(2)
    cpus.write(TDCR, BY_ONE, 1)
    cpus.write(LVT_TIMER, PERIODIC | 0x40, 1)
    cpus.write(TICR, 1_000_000, 1)
    cpus.send(0x55)
    cpus.clock.advance(500_000)
    new = Processors(2)
    new.clock.time = cpus.clock.time
    new.apics.load(cpus.apics.save())
    assert new.acknowledge(0) == 0x55
    new.clock.advance(500_000)
    assert new.acknowledge(1) == 0x40


OPERATIONS = st.one_of(
    st.tuples(st.just("send"), st.integers(16, 255)),
    st.tuples(st.just("tpr"), st.integers(0, 255)),
    st.tuples(st.sampled_from(("acknowledge", "eoi")), st.just(0)),
)


@given(st.lists(OPERATIONS, max_size=60))
def test_vectors_agree_with_a_model_of_sets(operations: list[tuple[str, int]]) -> None:
    cpus = Processors()
    requested: set[int] = set()
    serviced: set[int] = set()
    task = 0
    for operation, argument in operations:
        priority = max(task >> 4, max(serviced, default=0) >> 4)
        best = max(requested, default=0)
        if operation == "send":
            cpus.send(argument)
            requested.add(argument)
        elif operation == "tpr":
            cpus.write(TPR, argument)
            task = argument
        elif operation == "acknowledge":
            taken = cpus.acknowledge()
            if best >> 4 > priority:
                assert taken == best
                requested.remove(best)
                serviced.add(best)
            else:
                assert taken == 0xFF
        else:
            cpus.write(EOI, 0)
            serviced.discard(max(serviced, default=0))
        assert (set(cpus.vectors(IRR)), set(cpus.vectors(ISR))) == (requested, serviced)
        priority = max(task >> 4, max(serviced, default=0) >> 4)
        assert cpus.read(PPR) >> 4 == priority
        assert cpus.intr[0].level == (max(requested, default=0) >> 4 > priority)


STEPS = st.tuples(
    st.integers(0, 1),
    st.one_of(st.integers(0, 0x40).map(lambda n: 16 * n), st.integers(0, 0x400)),
    st.sampled_from((1, 2, 4, 4, 4, 8)),
    st.integers(0, 2**32 - 1),
)


@given(st.lists(STEPS, max_size=60))
def test_no_sequence_of_accesses_breaks_it(steps: list[tuple[int, int, int, int]]) -> None:
    cpus = Processors(2)
    for cpu, offset, size, value in steps:
        cpus.cpu = cpu
        cpus.apics.write(offset, size, value & ((1 << 8 * size) - 1))
        assert 0 <= cpus.apics.read(offset, size) < 1 << 8 * size
        cpus.clock.advance(value & 0xFFFFF)
        cpus.send(value & 0xFF, to=value >> 8 & 0xFF, level=bool(value & 1 << 20))
        apic = cpus.apics.apics[cpu]
        assert cpus.intr[cpu].level == apic.pending()
        if value & 1 << 21:
            assert 0 <= apic.acknowledge() <= 0xFF
