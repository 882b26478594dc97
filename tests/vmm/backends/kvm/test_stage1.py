from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmm.backends.kvm.stage1 import TranslationRegisters, translate
from vmm.memory import GuestMemory

RAM = 0x4000_0000
TABLES = 0x4_0000  # room for four tables of 64 KiB

TG0 = {12: 0b00, 16: 0b01, 14: 0b10}
TG1 = {14: 0b01, 12: 0b10, 16: 0b11}

BLOCK_LEVELS = {12: [1, 2, 3], 14: [2, 3], 16: [2, 3]}


@st.composite
def mappings(draw: st.DrawFn) -> tuple[int, int, bool, int, int, int]:
    """Draw granule, width of addresses, half, level of the leaf, virtual and physical address."""
    granule = draw(st.sampled_from([12, 14, 16]))
    bits = draw(st.integers(25, 48))
    upper = draw(st.booleans())
    stride = granule - 3
    level = draw(st.sampled_from(BLOCK_LEVELS[granule]))
    # A leaf needs a table at its level, which short addresses do not reach.
    while granule + stride * (3 - level) >= bits:
        level += 1
    virtual = draw(st.integers(0, (1 << bits) - 1))
    physical = draw(st.integers(0, (1 << 48) - 1))
    return granule, bits, upper, level, virtual, physical


def registers(
    granule: int, bits: int, upper: bool, table: int, extra: int = 0
) -> TranslationRegisters:
    size = 64 - bits
    if upper:
        tcr = size << 16 | TG1[granule] << 30 | 1 << 7
        return TranslationRegisters(1, tcr | extra, 0, table)
    return TranslationRegisters(1, size | TG0[granule] << 14 | 1 << 23 | extra, table, 0)


def build(memory: GuestMemory, granule: int, bits: int, leaf: int, virtual: int, entry: int) -> int:
    """Build the tables on the way to ``virtual`` from the leaf up; return the first one."""
    stride = granule - 3
    free = RAM
    level = leaf
    while True:
        shift = granule + stride * (3 - level)
        table, free = free, free + (1 << granule)
        index = virtual >> shift & (1 << stride) - 1
        memory.write_u64(table + 8 * index, entry)
        if shift + stride >= bits:
            return table
        entry = table | 0b11
        level -= 1


@given(mappings())
def test_what_is_mapped_is_found(case: tuple[int, int, bool, int, int, int]) -> None:
    granule, bits, upper, leaf, virtual, physical = case
    size = 1 << granule + (granule - 3) * (3 - leaf)
    frame = physical & ~(size - 1)
    # Attributes around the address must not leak into it.
    entry = frame | 0xFFF0_0000_0000_07FC | (0b11 if leaf == 3 else 0b01)
    with GuestMemory([(RAM, TABLES)]) as memory:
        table = build(memory, granule, bits, leaf, virtual, entry)
        address = virtual | (-1 << bits & (1 << 64) - 1 if upper else 0)
        walk = registers(granule, bits, upper, table)
        assert translate(memory, walk, address) == frame | virtual & size - 1
        # The other half has no tables, and between the halves there is nothing.
        assert translate(memory, walk, address ^ (1 << 64) - 1) is None
        assert translate(memory, walk, address ^ 1 << 54) is None
        # Its neighbour is not mapped.
        assert size * 2 > 1 << bits or translate(memory, walk, address ^ size) is None


@given(mappings(), st.integers(0, 255))
def test_the_top_byte_counts_unless_told_otherwise(
    case: tuple[int, int, bool, int, int, int], tag: int
) -> None:
    granule, bits, upper, leaf, virtual, _ = case
    entry = 0b11 if leaf == 3 else 0b01
    with GuestMemory([(RAM, TABLES)]) as memory:
        table = build(memory, granule, bits, leaf, virtual, entry)
        address = virtual | (-1 << bits & (1 << 64) - 1 if upper else 0)
        tagged = address & (1 << 56) - 1 | tag << 56
        strict = registers(granule, bits, upper, table)
        ignoring = registers(granule, bits, upper, table, extra=0b11 << 37)
        expected = translate(memory, strict, address)
        assert expected is not None
        assert translate(memory, ignoring, tagged) == expected
        assert translate(memory, strict, tagged) == (expected if tagged == address else None)


def test_without_the_mmu_addresses_are_physical() -> None:
    with GuestMemory([(RAM, 0x1000)]) as memory:
        assert translate(memory, TranslationRegisters(0, 0, 0, 0), 0x1234_5678) == 0x1234_5678


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1), st.binary(max_size=4096))
def test_any_registers_and_tables_give_an_answer(tcr: int, address: int, content: bytes) -> None:
    with GuestMemory([(RAM, 0x1000)]) as memory:
        memory.write(RAM, content)
        result = translate(memory, TranslationRegisters(1, tcr, RAM, RAM), address)
        assert result is None or 0 <= result < 1 << 48


def test_descriptors_of_no_kind_end_the_walk() -> None:
    with GuestMemory([(RAM, TABLES)]) as memory:
        for leaf, entry in ((3, 0b01), (3, 0b10), (2, 0b00)):
            table = build(memory, 12, 39, leaf, 0x1000, entry)
            assert translate(memory, registers(12, 39, False, table), 0x1000) is None
        # A block at level 0, which 48-bit addresses reach.
        table = build(memory, 12, 48, 0, 0x1000, 0b01)
        assert translate(memory, registers(12, 48, False, table), 0x1000) is None


def test_a_table_outside_ram_ends_the_walk() -> None:
    with GuestMemory([(RAM, TABLES)]) as memory:
        assert translate(memory, registers(12, 39, False, 0x9000_0000), 0x1000) is None
