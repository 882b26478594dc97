"""The entropy device."""

from __future__ import annotations

import os

import pytest

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from vmm.devices.virtio.rng import MAX_REQUEST, Rng


@pytest.fixture
def guest() -> Guest:
    memory = d.ram()
    guest = Guest(Rng(memory, source=os.urandom), memory)
    guest.start()
    return guest


def test_it_is_an_entropy_device(guest: Guest) -> None:
    assert guest.read(d.DEVICE_ID) == 4


@pytest.mark.parametrize("indirect", [False, True])
def test_buffers_are_filled(guest: Guest, indirect: bool) -> None:
    first, length = guest.request(0, b"", 256, indirect=indirect)
    second, _ = guest.request(0, b"", 256)
    assert length == 256
    assert first != second
    assert len(set(first)) > 100


def test_buffers_are_filled_exactly(guest: Guest) -> None:
    queue = guest.queues[0]
    address = queue.allocate(64)
    queue.offer([(address + 16, 8, True), (address + 32, 8, True)])
    guest.kick(0)
    content = guest.memory.read(d.Gpa(address), 64)
    assert content[:16] + content[24:32] + content[40:] == bytes(48)
    assert any(content[16:24])
    assert any(content[32:40])


def test_huge_requests_are_answered_in_part(guest: Guest) -> None:
    queue = guest.queues[0]
    queue.offer([(d.RAM + (1 << 20), 3 << 20, True)])
    guest.kick(0)
    used = queue.take()
    assert used is not None
    assert used.length == MAX_REQUEST
    assert not any(guest.memory.read(d.Gpa(d.RAM + (1 << 20) + MAX_REQUEST), 4096))


def test_readable_buffers_come_back_empty(guest: Guest) -> None:
    assert guest.request(0, b"not for the device", 0) == (b"", 0)
