"""What the initial page tables map is exactly what was asked for, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.boot.walker import Span, merge, walk_arm64, walk_x86_64
from vmm.boot import pagetables_arm64, pagetables_x86_64
from vmm.boot.pagetables import EXECUTE, READ, WRITE, Mapping
from vmm.memory import Gpa, GuestMemory

PAGE, BLOCK, GIB = 1 << 12, 1 << 21, 1 << 30
BUILDERS = {"x86_64": pagetables_x86_64.build, "arm64": pagetables_arm64.build}
UPPER = {"x86_64": 0xFFFF_8000_0000_0000, "arm64": 0xFFFF_0000_0000_0000}
RIGHTS = (READ, READ | WRITE, READ | EXECUTE)

# Gaps and lengths that hit the borders of pages and blocks; the long ones those of tables above.
SHORT = st.one_of(
    st.integers(1, 5).map(lambda n: n * PAGE),
    st.integers(1, 1100).map(lambda n: n * PAGE),
    st.sampled_from([BLOCK, BLOCK - PAGE, BLOCK + PAGE, 3 * BLOCK]),
)
LONG = st.one_of(SHORT, st.sampled_from([GIB, GIB - PAGE, GIB + BLOCK]))


class Tables:
    """A builder's memory: RAM in which each allocated page is handed out once."""

    def __init__(self, arch: str, pages: int = 4096) -> None:
        self.arch = arch
        self.memory = GuestMemory([(Gpa(0x10_0000), pages * PAGE)])
        self.allocated = 0

    def allocate(self) -> int:
        self.allocated += 1
        return 0x10_0000 + (self.allocated - 1) * PAGE

    def build(self, mappings: list[Mapping]) -> list[Span]:
        root = BUILDERS[self.arch](self.memory, self.allocate, mappings)
        if self.arch == "x86_64":
            spans = walk_x86_64(self.memory, root)
            assert all(span.user for span in spans)
            return [replace(span, user=False) for span in spans]
        upper = bool(mappings) and mappings[0].virtual >= 1 << 63
        return walk_arm64(self.memory, root, upper)


@st.composite
def disjoint_mappings(draw: st.DrawFn, base: int) -> list[Mapping]:
    """Mappings at ascending virtual addresses; physical ones at random, often congruent."""
    mappings = []
    virtual = base
    for _ in range(draw(st.integers(0, 8))):
        virtual += draw(st.one_of(st.just(0), LONG))
        congruent = draw(st.booleans())
        length = draw(LONG if congruent else SHORT)
        if congruent:
            physical = (virtual + draw(st.integers(0, 1000)) * BLOCK) & (1 << 40) - 1
        else:
            physical = draw(st.integers(0, (1 << 36) - 1)) * PAGE
        if physical + length > 1 << 48:
            physical = 0
        rights = draw(st.sampled_from(RIGHTS))
        device = rights == READ | WRITE and draw(st.booleans())
        mappings.append(Mapping(virtual, physical, length, rights, device))
        virtual += length
    return draw(st.permutations(mappings))


def expected_spans(mappings: list[Mapping]) -> list[Span]:
    return merge(
        Span(
            m.virtual,
            m.physical,
            m.length,
            write=bool(m.rights & WRITE),
            execute=bool(m.rights & EXECUTE),
            device=m.device,
        )
        for m in mappings
    )


@given(data=st.data())
def test_exactly_what_was_asked_for(arch: str, data: st.DataObject) -> None:
    half = data.draw(st.sampled_from([PAGE, UPPER[arch], UPPER[arch] + 511 * GIB]))
    mappings = data.draw(disjoint_mappings(half))
    tables = Tables(arch)
    with tables.memory:
        assert tables.build(mappings) == expected_spans(mappings)


def test_nothing(arch: str) -> None:
    tables = Tables(arch, pages=1)
    with tables.memory:
        assert tables.build([]) == []


def test_large_pages_keep_tables_few(arch: str) -> None:
    tables = Tables(arch, pages=16)
    with tables.memory:
        spans = tables.build([Mapping(UPPER[arch] + PAGE, PAGE, GIB, READ | WRITE)])
        assert spans == [Span(UPPER[arch] + PAGE, PAGE, GIB, write=True, execute=False)]
    # The root, one table of the second level, and of the third and fourth one at either end.
    assert tables.allocated == 1 + 1 + 2 + 2


def test_whatever_is_not_congruent_is_mapped_by_pages(arch: str) -> None:
    tables = Tables(arch, pages=16)
    with tables.memory:
        spans = tables.build([Mapping(UPPER[arch], PAGE, 2 * BLOCK, READ)])
        assert spans == [Span(UPPER[arch], PAGE, 2 * BLOCK, write=False, execute=False)]


@pytest.fixture
def build(arch: str) -> Iterator[Callable[..., list[Span]]]:
    tables = Tables(arch, pages=32)
    with tables.memory:
        yield lambda *mappings: tables.build(list(mappings))


def test_writable_and_executable_is_refused(build: Callable[..., list[Span]]) -> None:
    with pytest.raises(ValueError, match="writable and executable"):
        build(Mapping(0, 0, PAGE, READ | WRITE | EXECUTE))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((0, PAGE), (0, PAGE), id="page-page"),
        pytest.param((0, 3 * PAGE), (2 * PAGE, 2 * PAGE), id="pages-partly"),
        pytest.param((0, BLOCK), (PAGE, PAGE), id="page-in-block"),
        pytest.param((PAGE, PAGE), (0, BLOCK), id="block-over-page"),
        pytest.param((0, 2 * BLOCK), (BLOCK, BLOCK), id="block-block"),
    ],
)
def test_overlaps_are_refused(
    build: Callable[..., list[Span]], first: tuple[int, int], second: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match="overlap"):
        build(*[Mapping(start, start, length, READ) for start, length in (first, second)])
