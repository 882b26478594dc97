"""The program's address space against a model that knows every page, with Linux's rules."""

from __future__ import annotations

import errno
import mmap
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.guest.hostlib import FREE, PAGE, ffi, memory

NONE, READ, WRITE, EXEC = 0, mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC
SHARED, PRIVATE, ANONYMOUS, FIXED = 1, 2, 0x20, 0x10
POPULATE, NOREPLACE, GROWSDOWN, READ_ONLY = 0x8000, 0x100000, 0x0100, 0x40000000
MAYMOVE, REMAP_FIXED = 1, 2
DONTNEED, WILLNEED, POPULATE_WRITE = 4, 3, 23

NOT_MAPPED, PROTECTION, PAST_END, NO_MEMORY = range(4)
RESOLVED = -1

BASE = 0x10_0000_0000
USER_END = 0x7FFF_FFFF_F000
WINDOW = 40  # pages in which the state machine works
IMAGE = 0x40_0000  # where the image lies in "physical" memory
IMAGE_PAGES = 12
REGIONS = [(1 << 20, 512, FREE), (IMAGE, 64, 5), (8 << 20, 4096, FREE)]

PROTECTIONS = st.sampled_from([NONE, READ, READ | WRITE, READ | EXEC, WRITE, READ | WRITE | EXEC])


def image_byte(page: int) -> int:
    return 100 + page


@dataclass
class Page:
    """What a page of the program is.

    Attributes:
        source: index of the image's page, None for anonymous memory.
        shared: whether writes go to the image.
        content: the first byte where the program has its own page, None before.
    """

    protection: int
    source: int | None
    shared: bool
    content: int | None = None


class Space:
    """The library's address space, with an image to map."""

    def __init__(self, lib: Any) -> None:
        self.lib = lib
        lib.host_new_space()
        self.image = ffi.new("struct image_source *")
        lib.image_source_initialize(self.image, IMAGE, IMAGE_PAGES * PAGE)
        self.content = ffi.buffer(
            ffi.cast("char *", lib.host_direct_map + IMAGE), IMAGE_PAGES * PAGE
        )
        for page in range(IMAGE_PAGES):
            self.content[page * PAGE] = bytes([image_byte(page)])

    def map(
        self,
        address: int,
        length: int,
        protection: int = READ | WRITE,
        flags: int = PRIVATE | ANONYMOUS,
        offset: int = 0,
    ) -> int:
        source = ffi.NULL if flags & ANONYMOUS else ffi.addressof(self.image, "source")
        return int(self.lib.space_map(address, length, protection, flags, source, offset))


class AddressSpace(RuleBasedStateMachine):
    """Random calls in a window of addresses; after each, the mappings are those of the model."""

    def __init__(self) -> None:
        super().__init__()
        self._context = memory(REGIONS)
        self.space = Space(self._context.__enter__())
        self.lib = self.space.lib
        self.pages: dict[int, Page] = {}
        self.image = {page: image_byte(page) for page in range(IMAGE_PAGES)}
        self.used_before = self.lib.frame_statistics().used

    def teardown(self) -> None:
        assert self.lib.space_unmap(BASE, WINDOW * PAGE) == 0
        # Tables are gone with the last area; the heap may keep one slab for areas.
        assert self.lib.frame_statistics().used <= self.used_before + 1
        self._context.__exit__(None, None, None)

    ranges = st.tuples(st.integers(0, WINDOW - 1), st.integers(1, WINDOW)).map(
        lambda pair: (pair[0], min(pair[1], WINDOW - pair[0]))
    )

    @initialize()
    def nothing_is_mapped(self) -> None:
        assert self.lib.host_load(BASE) == ~NOT_MAPPED

    @rule(where=ranges, protection=PROTECTIONS, more=st.sampled_from([0, POPULATE, NOREPLACE]))
    def map_anonymous(self, where: tuple[int, int], protection: int, more: int) -> None:
        start, count = where
        result = self.space.map(
            BASE + start * PAGE, count * PAGE, protection, PRIVATE | ANONYMOUS | FIXED | more
        )
        taken = any(page in self.pages for page in range(start, start + count))
        if more == NOREPLACE and taken:
            assert result == -errno.EEXIST
            return
        assert result == BASE + start * PAGE
        for page in range(start, start + count):
            self.pages[page] = Page(protection, None, False)

    @rule(
        where=ranges,
        offset=st.integers(0, IMAGE_PAGES + 2),
        protection=PROTECTIONS,
        shared=st.booleans(),
    )
    def map_image(self, where: tuple[int, int], offset: int, protection: int, shared: bool) -> None:
        start, count = where
        kind = SHARED if shared else PRIVATE
        result = self.space.map(
            BASE + start * PAGE, count * PAGE, protection, kind | FIXED, offset * PAGE
        )
        assert result == BASE + start * PAGE
        for index in range(count):
            self.pages[start + index] = Page(protection, offset + index, shared)

    @rule(where=ranges)
    def unmap(self, where: tuple[int, int]) -> None:
        start, count = where
        assert self.lib.space_unmap(BASE + start * PAGE, count * PAGE) == 0
        for page in range(start, start + count):
            self.pages.pop(page, None)

    @rule(where=ranges, protection=PROTECTIONS)
    def protect(self, where: tuple[int, int], protection: int) -> None:
        start, count = where
        result = self.lib.space_protect(BASE + start * PAGE, count * PAGE, protection)
        for page in range(start, start + count):
            if page not in self.pages:
                assert result == -errno.ENOMEM
                return
            self.pages[page].protection = protection
        assert result == 0

    @rule(where=ranges, advice=st.sampled_from([DONTNEED, WILLNEED, POPULATE_WRITE, 0]))
    def advise(self, where: tuple[int, int], advice: int) -> None:
        start, count = where
        wanted = range(start, start + count)
        result = self.lib.space_advise(BASE + start * PAGE, count * PAGE, advice)
        assert result == self.advice_result(wanted, advice)
        if advice == DONTNEED:
            for page in wanted:
                if page in self.pages:
                    self.pages[page].content = None

    def advice_result(self, wanted: range, advice: int) -> int:
        for page in wanted:
            if page not in self.pages:
                return -errno.ENOMEM
            # Linux stops populating at the first page that it may not write.
            if advice == POPULATE_WRITE and not self.pages[page].protection & WRITE:
                return -errno.EINVAL
        return 0

    @precondition(lambda self: self.pages)
    @rule(data=st.data(), new_count=st.integers(1, 12), to=st.integers(0, WINDOW - 12))
    def move(self, data: st.DataObject, new_count: int, to: int) -> None:
        start = data.draw(st.sampled_from(sorted(self.pages)))
        count = data.draw(st.integers(1, min(12, self.length_alike(start))))
        result = self.lib.space_remap(
            BASE + start * PAGE,
            count * PAGE,
            new_count * PAGE,
            MAYMOVE | REMAP_FIXED,
            BASE + to * PAGE,
        )
        if start < to + new_count and to < start + count:
            assert result == -errno.EINVAL
            return
        assert result == BASE + to * PAGE
        moved = [self.pages.pop(page) for page in range(start, start + count)]
        for page in range(to, to + new_count):
            self.pages.pop(page, None)
        first = moved[0]
        for index in range(new_count):
            source = None if first.source is None else first.source + index
            fresh = Page(first.protection, source, first.shared)
            self.pages[to + index] = moved[index] if index < count else fresh

    def length_alike(self, start: int) -> int:
        """How many pages from ``start`` on are one area, whatever has been merged."""
        first = self.pages[start]
        count = 1
        while (page := self.pages.get(start + count)) is not None:
            expected = None if first.source is None else first.source + count
            alike = (page.protection, page.source, page.shared)
            if alike != (first.protection, expected, first.shared):
                break
            count += 1
        return count

    @rule(page=st.integers(0, WINDOW - 1), byte=st.integers(1, 99))
    def store(self, page: int, byte: int) -> None:
        result = self.lib.host_store(BASE + page * PAGE, byte)
        here = self.pages.get(page)
        if here is None:
            assert result == NOT_MAPPED
        elif not here.protection & WRITE:
            assert result == PROTECTION
        elif here.content is None and here.source is not None and here.source >= IMAGE_PAGES:
            assert result == PAST_END
        else:
            assert result == RESOLVED
            if here.source is not None and here.shared:
                self.image[here.source] = byte
            else:
                here.content = byte

    @rule(page=st.integers(0, WINDOW - 1))
    def load(self, page: int) -> None:
        result = self.lib.host_load(BASE + page * PAGE)
        here = self.pages.get(page)
        if here is None:
            assert result == ~NOT_MAPPED
        elif here.protection == NONE:
            assert result == ~PROTECTION
        elif here.content is not None:
            assert result == here.content
        elif here.source is None:
            assert result == 0
        elif here.source >= IMAGE_PAGES:
            assert result == ~PAST_END
        else:
            assert result == self.image[here.source]

    @invariant()
    def rights_are_never_too_large(self) -> None:
        for page in range(WINDOW):
            seen = self.lib.host_look(BASE + page * PAGE)
            here = self.pages.get(page)
            if here is None or here.protection == NONE:
                assert seen == 0
                continue
            if seen & 2:
                assert here.protection & WRITE
            if seen & 4:
                assert here.protection & EXEC

    @invariant()
    def only_shared_mappings_change_the_image(self) -> None:
        for page, byte in self.image.items():
            assert self.space.content[page * PAGE] == bytes([byte])

    @invariant()
    def areas_cover_just_the_mapped_pages(self) -> None:
        mapping = ffi.new("struct space_mapping *")
        found: set[int] = set()
        at = BASE
        while self.lib.space_find(at, mapping) and mapping.start < BASE + WINDOW * PAGE:
            found |= set(range((mapping.start - BASE) // PAGE, (mapping.end - BASE) // PAGE))
            for page in range((mapping.start - BASE) // PAGE, (mapping.end - BASE) // PAGE):
                assert mapping.protection == self.pages[page].protection
            at = mapping.end
        assert found == set(self.pages)


def test_random_calls_agree_with_the_model() -> None:
    run_state_machine_as_test(
        AddressSpace, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )


@pytest.fixture
def space() -> Any:
    with memory(REGIONS) as lib:
        yield Space(lib)


class TestMap:
    def test_wishes_are_granted_where_that_is_free(self, space: Space) -> None:
        assert space.map(BASE + 5, PAGE) == BASE
        second = space.map(BASE, PAGE)
        assert second != BASE
        assert second > 0

    def test_places_come_from_the_top_and_are_found_again(self, space: Space) -> None:
        first = space.map(0, 3 * PAGE)
        second = space.map(0, 2 * PAGE)
        assert first == USER_END - 3 * PAGE
        assert second == first - 2 * PAGE
        assert space.lib.space_unmap(first, 3 * PAGE) == 0
        assert space.map(0, 3 * PAGE) == first

    def test_a_stack_keeps_its_distance(self, space: Space) -> None:
        stack = space.map(0, 16 * PAGE, flags=PRIVATE | ANONYMOUS | GROWSDOWN)
        below = space.map(0, PAGE)
        assert stack - (below + PAGE) >= 1 << 20
        # Another size of room: what lies directly above a hole still counts.
        assert space.map(stack - PAGE, PAGE) != stack - PAGE

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ((0, 0), errno.EINVAL),
            ((0, PAGE, READ, ANONYMOUS), errno.EINVAL),
            ((0, PAGE, READ, PRIVATE, 1), errno.EINVAL),
            ((0, PAGE, 8, PRIVATE | ANONYMOUS), errno.EINVAL),
            ((BASE + 1, PAGE, READ, PRIVATE | ANONYMOUS | FIXED), errno.EINVAL),
            ((0x1000, PAGE, READ, PRIVATE | ANONYMOUS | FIXED), errno.EPERM),
            ((USER_END - PAGE, 2 * PAGE, READ, PRIVATE | ANONYMOUS | FIXED), errno.ENOMEM),
            ((2**64 - PAGE, PAGE, READ, PRIVATE | ANONYMOUS | FIXED), errno.ENOMEM),
            ((0, 1 << 47, READ, PRIVATE | ANONYMOUS), errno.ENOMEM),
            ((0, 2**64 - 1, READ, PRIVATE | ANONYMOUS), errno.ENOMEM),
        ],
    )
    def test_refuses(self, space: Space, arguments: tuple[int, ...], error: int) -> None:
        assert space.map(*arguments) == -error

    def test_neighbours_that_are_alike_become_one_area(self, space: Space) -> None:
        used = space.lib.frame_statistics().used
        for page in range(2000):
            space.map(BASE + page * PAGE, PAGE, flags=PRIVATE | ANONYMOUS | FIXED)
        mapping = ffi.new("struct space_mapping *")
        assert space.lib.space_find(BASE, mapping)
        assert (mapping.start, mapping.end) == (BASE, BASE + 2000 * PAGE)
        assert space.lib.frame_statistics().used <= used + 2


class TestOtherCalls:
    def test_unmap_refuses_what_linux_refuses(self, space: Space) -> None:
        assert space.lib.space_unmap(BASE + 1, PAGE) == -errno.EINVAL
        assert space.lib.space_unmap(BASE, 0) == -errno.EINVAL
        assert space.lib.space_unmap(USER_END, PAGE) == -errno.EINVAL
        assert space.lib.space_unmap(BASE, 2**64 - PAGE) == -errno.EINVAL
        assert space.lib.space_unmap(BASE, PAGE) == 0

    def test_protect_refuses_what_linux_refuses(self, space: Space) -> None:
        space.map(BASE, PAGE)
        assert space.lib.space_protect(BASE + 1, PAGE, READ) == -errno.EINVAL
        assert space.lib.space_protect(BASE, PAGE, 8) == -errno.EINVAL
        assert space.lib.space_protect(BASE, 0, READ) == 0
        assert space.lib.space_protect(BASE, 2 * PAGE, READ) == -errno.ENOMEM
        assert space.lib.space_protect(USER_END, PAGE, READ) == -errno.ENOMEM

    def test_a_read_only_shared_mapping_stays_so(self, space: Space) -> None:
        assert space.map(BASE, PAGE, READ, SHARED | READ_ONLY) == BASE
        assert space.lib.space_protect(BASE, PAGE, READ | WRITE) == -errno.EACCES
        assert space.lib.space_protect(BASE, PAGE, NONE) == 0

    def test_remap_grows_in_place_or_moves(self, space: Space) -> None:
        lib = space.lib
        space.map(BASE, 2 * PAGE)
        assert lib.host_store(BASE, 7) == RESOLVED
        assert lib.space_remap(BASE, 2 * PAGE, 4 * PAGE, 0, 0) == BASE
        space.map(BASE + 4 * PAGE, PAGE, READ)
        assert lib.space_remap(BASE, 4 * PAGE, 5 * PAGE, 0, 0) == -errno.ENOMEM
        moved = lib.space_remap(BASE, 4 * PAGE, 5 * PAGE, MAYMOVE, 0)
        assert moved > 0
        assert moved != BASE
        assert lib.host_load(moved) == 7
        assert lib.host_load(BASE) == ~NOT_MAPPED
        assert lib.space_remap(moved, 5 * PAGE, PAGE, 0, 0) == moved
        assert lib.host_load(moved + PAGE) == ~NOT_MAPPED
        assert lib.space_remap(moved, PAGE, 0, 0, 0) == -errno.EINVAL
        assert lib.space_remap(BASE, PAGE, PAGE, 0, 0) == -errno.EFAULT
        assert lib.space_remap(moved, PAGE, PAGE, REMAP_FIXED, BASE) == -errno.EINVAL

    def test_unknown_advice_is_refused(self, space: Space) -> None:
        space.map(BASE, PAGE)
        assert space.lib.space_advise(BASE, PAGE, 77) == -errno.EINVAL
        assert space.lib.space_advise(BASE + 1, PAGE, DONTNEED) == -errno.EINVAL
        assert space.lib.space_advise(BASE, 0, DONTNEED) == 0

    def test_break_moves_both_ways_and_stops_at_what_is_there(self, space: Space) -> None:
        lib = space.lib
        lib.space_set_break(BASE)
        assert lib.space_break(0) == BASE
        assert lib.space_break(BASE + 100) == BASE + 100
        assert lib.host_store(BASE, 3) == RESOLVED
        assert lib.space_break(BASE + 3 * PAGE) == BASE + 3 * PAGE
        assert lib.host_load(BASE) == 3
        space.map(BASE + 4 * PAGE, PAGE)
        assert lib.space_break(BASE + 6 * PAGE) == BASE + 3 * PAGE
        assert lib.space_break(BASE) == BASE
        assert lib.host_load(BASE) == ~NOT_MAPPED
        assert lib.space_break(BASE - 1) == BASE
        assert lib.space_break(2**64 - 1) == BASE


def test_exhaustion_is_told_and_everything_comes_back() -> None:
    with memory([(1 << 20, 256, FREE), (IMAGE, 64, 5), (8 << 20, 300, FREE)]) as lib:
        space = Space(lib)
        used = lib.frame_statistics().used
        space.map(BASE, 1 << 30)
        page = 0
        while (result := lib.host_store(BASE + page * PAGE, 1)) == RESOLVED:
            page += 1
        assert result == NO_MEMORY
        assert page > 500
        assert lib.space_unmap(BASE, 1 << 30) == 0
        assert lib.frame_statistics().used <= used + 1


def test_populating_more_than_there_is_does_what_it_can() -> None:
    with memory([(1 << 20, 256, FREE), (IMAGE, 64, 5), (8 << 20, 300, FREE)]) as lib:
        space = Space(lib)
        assert space.map(BASE, 1 << 30, flags=PRIVATE | ANONYMOUS | POPULATE) == BASE
        assert lib.host_look(BASE) & 3 == 3
        assert lib.space_unmap(BASE, 1 << 30) == 0
