"""RAM is given away at most once, and the region list says exactly who has what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.boot.layout import READ_WRITE, Layout, Region
from vmm.errors import UsageError
from vmm.hypercall import abi

PAGE = 4096
DIRECT_MAP = 0xFFFF_8000_0000_0000
RAM = [(0, 64 * PAGE), (128 * PAGE, 32 * PAGE)]
RAM_PAGES = {*range(64), *range(128, 160)}


def make_layout() -> Layout:
    return Layout(RAM, DIRECT_MAP)


def pages(region: Region) -> set[int]:
    return set(range(region.physical // PAGE, region.end // PAGE))


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 170 * PAGE), st.integers(1, 20 * PAGE)),
        st.tuples(st.just("top"), st.just(0), st.integers(1, 40 * PAGE)),
        st.tuples(
            st.just("exclude"),
            st.integers(0, 170).map(lambda n: n * PAGE),
            st.integers(1, 4).map(lambda n: n * PAGE),
        ),
    ),
    max_size=12,
)


@given(OPERATIONS)
def test_every_page_of_ram_is_in_one_region(operations: list[tuple[str, int, int]]) -> None:
    layout = make_layout()
    free = set(RAM_PAGES)
    excluded: set[int] = set()
    for operation, physical, length in operations:
        wanted = set(range(physical // PAGE, -(-(physical + length) // PAGE)))
        try:
            if operation == "top":
                region = layout.place_at_top(length, abi.REGION_INITRD, abi.REGION_READ, "initrd")
                wanted = pages(region)
                assert region.length == -(-length // PAGE) * PAGE
            elif operation == "reserve":
                region = layout.reserve(physical, length, abi.REGION_BOOT, READ_WRITE, "boot")
                assert pages(region) == wanted
            else:
                layout.exclude(physical, length)
                excluded |= wanted
        except UsageError:
            if operation != "top":
                assert not wanted <= free or crosses_a_hole(wanted)
            continue
        assert wanted <= free
        free -= wanted

    regions = layout.regions()
    assert regions == sorted(regions, key=lambda region: region.physical)
    for region in regions:
        assert region.physical % PAGE == region.length % PAGE == 0
        assert region.length > 0
        assert region.virtual == DIRECT_MAP + region.physical
    assert sum(len(pages(region)) for region in regions) == len(RAM_PAGES - excluded)
    assert set().union(*map(pages, regions)) == RAM_PAGES - excluded
    listed_free = [pages(region) for region in regions if region.type == abi.REGION_FREE]
    assert set().union(*listed_free) == free


def crosses_a_hole(wanted: set[int]) -> bool:
    return len(wanted) != max(wanted) - min(wanted) + 1


def test_the_top_is_the_highest_place_that_fits() -> None:
    layout = make_layout()
    small = layout.place_at_top(5, abi.REGION_PROGRAM, abi.REGION_READ, "program")
    large = layout.place_at_top(40 * PAGE, abi.REGION_INITRD, abi.REGION_READ, "initrd")
    assert (small.physical, small.end) == (159 * PAGE, 160 * PAGE)
    assert (large.physical, large.end) == (24 * PAGE, 64 * PAGE)


def test_behind_something_is_there_or_else_at_the_top() -> None:
    layout = make_layout()
    behind = layout.place_behind(7 * PAGE, 5, abi.REGION_PROGRAM, abi.REGION_READ, "program")
    too_large = layout.place_behind(
        40 * PAGE, 40 * PAGE, abi.REGION_PROGRAM, abi.REGION_READ, "program"
    )
    assert (behind.physical, behind.end) == (7 * PAGE, 8 * PAGE)
    assert (too_large.physical, too_large.end) == (24 * PAGE, 64 * PAGE)


def test_a_whole_range_can_be_taken() -> None:
    layout = make_layout()
    region = layout.place_at_top(64 * PAGE, abi.REGION_INITRD, abi.REGION_READ, "initrd")
    assert (region.physical, region.end) == (0, 64 * PAGE)


def test_what_does_not_fit_is_named() -> None:
    layout = make_layout()
    with pytest.raises(UsageError, match="1 MiB of RAM in one piece for the initrd"):
        layout.place_at_top(65 * PAGE, abi.REGION_INITRD, abi.REGION_READ, "initrd")
    with pytest.raises(UsageError, match=r"kernel text at 0x40000..0x41000 is not in free RAM"):
        layout.reserve(64 * PAGE, 1, abi.REGION_KERNEL, abi.REGION_READ, "kernel text")


def test_devices_join_the_list_in_order() -> None:
    layout = make_layout()
    device = layout.add_device(100 * PAGE, PAGE, "uart")
    assert [region.name for region in layout.regions()] == ["ram", "uart", "ram"]
    assert (device.type, device.flags) == (abi.REGION_DEVICE, READ_WRITE)


@pytest.mark.parametrize(
    ("physical", "length"),
    [
        pytest.param(63 * PAGE, 2 * PAGE, id="overlaps-ram"),
        pytest.param(100 * PAGE, 2 * PAGE, id="overlaps-a-device"),
        pytest.param(70 * PAGE + 8, PAGE, id="unaligned"),
        pytest.param(70 * PAGE, 0, id="empty"),
    ],
)
def test_impossible_devices_are_refused(physical: int, length: int) -> None:
    layout = make_layout()
    layout.add_device(101 * PAGE, PAGE, "uart")
    with pytest.raises(ValueError, match="rtc"):
        layout.add_device(physical, length, "rtc")
