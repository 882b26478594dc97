"""The bus: routing, holes, the record of accesses, the lock."""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.bus import (
    MAX_REMEMBERED_SITES,
    MAX_UNCLAIMED_SITES,
    RECENT_ACCESSES,
    Access,
    AddressSpace,
    Bus,
)


class Recorder:
    """A region that answers with its offset and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def read(self, offset: int, size: int) -> int:
        self.calls.append(("read", offset, size))
        return offset

    def write(self, offset: int, size: int, value: int) -> None:
        self.calls.append(("write", offset, size, value))


def test_accesses_reach_the_region_with_offset_size_and_value() -> None:
    bus, region = Bus(), Recorder()
    bus.mmio.attach(0x1000, 0x10, "device", region)
    assert bus.mmio_read(0x1004, 4) == 4
    bus.mmio_write(0x100F, 1, 7)
    assert region.calls == [("read", 4, 4), ("write", 15, 1, 7)]


def test_ports_and_memory_are_apart() -> None:
    bus, port, memory = Bus(), Recorder(), Recorder()
    bus.pio.attach(0x3F8, 8, "port", port)
    bus.mmio.attach(0x3F8, 8, "memory", memory)
    bus.port_write(0x3F8, 1, 1)
    assert (len(port.calls), len(memory.calls)) == (1, 0)
    bus.mmio_read(0x3F8, 1)
    assert (len(port.calls), len(memory.calls)) == (1, 1)


@pytest.mark.parametrize(
    ("size", "ones"), [(1, 0xFF), (2, 0xFFFF), (4, 0xFFFF_FFFF), (8, 0xFFFF_FFFF_FFFF_FFFF)]
)
def test_unclaimed_reads_give_all_ones(size: int, ones: int) -> None:
    assert Bus().mmio_read(0x1234, size) == ones


def test_unclaimed_accesses_are_counted_by_address() -> None:
    bus = Bus()
    bus.mmio_read(0x10, 4)
    bus.mmio_write(0x10, 4, 1)
    bus.port_read(0x10, 1)
    assert bus.unclaimed == {("mmio", 0x10): 2, ("pio", 0x10): 1}


def test_the_count_of_unclaimed_addresses_is_bounded() -> None:
    bus = Bus()
    for address in range(MAX_UNCLAIMED_SITES + 50):
        bus.mmio_read(address, 1)
    assert len(bus.unclaimed) == MAX_UNCLAIMED_SITES + 1
    assert bus.unclaimed["mmio", -1] == 50


def test_the_last_accesses_are_kept_oldest_first() -> None:
    bus = Bus()
    bus.mmio.attach(0, 0x1000, "device", Recorder())
    for number in range(10 * RECENT_ACCESSES):
        bus.mmio_write(number, 1, number & 0xFF)
        expected = range(max(0, number - RECENT_ACCESSES + 1), number + 1)
        assert [access.address for access in bus.recent] == list(expected)
    bus.mmio_read(5, 2)
    assert bus.recent[-1] == Access("mmio", 5, 2, 5, False)


def test_an_access_is_on_record_while_the_device_works_on_it() -> None:
    bus = Bus()
    seen: list[list[Access]] = []

    class Crash(Recorder):
        def write(self, offset: int, size: int, value: int) -> None:
            seen.append(bus.recent)

    bus.pio.attach(0, 1, "crash", Crash())
    bus.port_write(0, 1, 9)
    assert seen == [[Access("pio", 0, 1, 9, True)]]


def test_regions_may_touch_but_not_overlap() -> None:
    space = AddressSpace("mmio")
    space.attach(0x1000, 0x1000, "middle", Recorder())
    space.attach(0x2000, 0x1000, "above", Recorder())
    space.attach(0x0000, 0x1000, "below", Recorder())
    assert [mapping.name for mapping in space.mappings] == ["below", "middle", "above"]
    for base, size in ((0x1000, 1), (0x0FFF, 2), (0x1FFF, 1), (0x0800, 0x4000)):
        with pytest.raises(ValueError, match="overlaps"):
            space.attach(base, size, "intruder", Recorder())


def test_a_region_without_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="no size"):
        AddressSpace("mmio").attach(0, 0, "nothing", Recorder())


def test_a_region_attached_later_is_found_where_there_was_none() -> None:
    bus, region = Bus(), Recorder()
    bus.mmio_read(0x5000, 4)
    bus.mmio.attach(0x5000, 4, "late", region)
    assert bus.mmio_read(0x5000, 4) == 0


def test_what_is_remembered_of_addresses_is_bounded() -> None:
    bus, region = Bus(), Recorder()
    bus.mmio.attach(0, 4 * MAX_REMEMBERED_SITES, "large", region)
    for address in range(4 * MAX_REMEMBERED_SITES):
        assert bus.mmio_read(address, 1) == address
    assert len(bus.mmio.sites) <= MAX_REMEMBERED_SITES


def test_an_access_that_fails_releases_the_lock() -> None:
    class Broken(Recorder):
        def read(self, offset: int, size: int) -> int:
            raise ZeroDivisionError

    bus = Bus()
    bus.mmio.attach(0, 4, "broken", Broken())
    with pytest.raises(ZeroDivisionError):
        bus.mmio_read(0, 4)
    done = allocate_lock()
    done.acquire()

    def access() -> None:
        bus.mmio_read(0x100, 4)
        done.release()

    start_new_thread(access, ())
    assert done.acquire(timeout=10)


def test_a_device_may_access_the_bus_itself() -> None:
    bus, target = Bus(), Recorder()

    class Bridge(Recorder):
        def read(self, offset: int, size: int) -> int:
            return bus.mmio_read(0x1000 + offset, size)

    bus.mmio.attach(0, 8, "bridge", Bridge())
    bus.mmio.attach(0x1000, 8, "target", target)
    assert bus.mmio_read(4, 4) == 4


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 30)), max_size=12),
    st.lists(st.integers(0, 255)),
)
def test_routing_agrees_with_a_search_of_all_regions(
    wanted: list[tuple[int, int]], addresses: list[int]
) -> None:
    bus = Bus()
    placed: list[tuple[int, int]] = []
    for base, size in wanted:
        if any(base < b + s and b < base + size for b, s in placed):
            with pytest.raises(ValueError, match="overlaps"):
                bus.mmio.attach(base, size, "region", Recorder())
        else:
            bus.mmio.attach(base, size, "region", Recorder())
            placed.append((base, size))
    for address in addresses:
        offsets = [address - base for base, size in placed if base <= address < base + size]
        assert bus.mmio_read(address, 2) == (offsets[0] if offsets else 0xFFFF)
