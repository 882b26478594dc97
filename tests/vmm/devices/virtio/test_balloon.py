"""The balloon: pages go back to the host, targets reach the guest."""

from __future__ import annotations

import os
from struct import pack

import pytest

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from vmm.devices.virtio.balloon import MAX_PAGES, Balloon
from vmm.errors import UsageError
from vmm.machine.machine import Machine

INFLATE, DEFLATE = 0, 1
FIRST = (d.RAM + (3 << 20)) // 4096


@pytest.fixture
def guest() -> Guest:
    memory = d.ram()
    guest = Guest(Balloon(memory), memory)
    guest.start()
    memory.write(d.Gpa(FIRST * 4096), b"#" * (1 << 20))
    return guest


def held(guest: Guest) -> int:
    """How many pages of RAM the host has given."""
    return os.fstat(guest.memory.fd).st_blocks * 512 // 4096


def test_pages_in_the_balloon_go_back_to_the_host(guest: Guest) -> None:
    pages = [FIRST + 9, FIRST, FIRST + 1, FIRST + 2, FIRST]
    before = held(guest)
    guest.request(INFLATE, pack("<5I", *pages), 0)
    assert before - held(guest) == 4
    for page in range(16):
        content = guest.memory.read(d.Gpa((FIRST + page) * 4096), 4096)
        assert content == (bytes(4096) if page in (0, 1, 2, 9) else b"#" * 4096)


def test_pages_come_back_by_being_used(guest: Guest) -> None:
    guest.request(INFLATE, pack("<I", FIRST), 0)
    guest.request(DEFLATE, pack("<I", FIRST), 0)
    guest.memory.write(d.Gpa(FIRST * 4096), b"again")
    assert guest.memory.read(d.Gpa(FIRST * 4096), 5) == b"again"


def test_pages_outside_ram_are_nothing(guest: Guest) -> None:
    before = held(guest)
    last = (d.RAM + d.RAM_SIZE) // 4096
    guest.request(INFLATE, pack("<4I", 0, last, 0xFFFF_FFFF, d.RAM // 4096 - 1) + b"\1\2", 0)
    assert held(guest) == before
    guest.request(INFLATE, pack("<2I", last - 1, last), 0)
    assert before - held(guest) == 1


def test_long_lists_are_cut(guest: Guest) -> None:
    before = held(guest)
    numbers = pack("<I", 0) * MAX_PAGES + pack("<I", FIRST)
    guest.request(INFLATE, numbers, 0)
    assert held(guest) >= before


def test_the_target_reaches_the_guest(guest: Guest) -> None:
    balloon = guest.device
    assert isinstance(balloon, Balloon)
    guest.acknowledge()
    balloon.set_target(1 << 20)
    assert guest.acknowledge() == 2
    assert guest.read(d.CONFIG) == 256
    guest.write(d.CONFIG + 4, 200)
    assert balloon.actual == 200
    balloon.set_target(1 << 40)
    assert guest.read(d.CONFIG) == d.RAM_SIZE // 4096


def test_the_target_outlives_a_reset(guest: Guest) -> None:
    balloon = guest.device
    assert isinstance(balloon, Balloon)
    balloon.set_target(8192)
    guest.write(d.STATUS, 0)
    assert guest.read(d.CONFIG) == 2


def test_a_machine_without_a_balloon_says_so() -> None:
    with (
        Machine("hello", backend="unicorn") as machine,
        pytest.raises(UsageError, match="no balloon"),
    ):
        machine.set_balloon(0)
