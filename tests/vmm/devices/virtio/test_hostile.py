"""Drivers that break every rule: no exception, no byte outside RAM, and a reset helps."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from tests.vmm.devices.virtio.kinds import KINDS, Make
from tests.vmm.devices.virtio.rings import AVAIL, USED

REGISTERS = (0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x64, 0x70, *range(0x80, 0xB0, 4))

WORDS = st.one_of(
    st.integers(0, 0xFFFF_FFFF),
    st.sampled_from((0, 1, 2, 3, 7, 8, 15, 16, 64, 256, 0x8000, 0xFFFF, 0xFFFF_FFFF)),
    st.integers(d.RAM - 64, d.RAM + 4096),
)

# (kind of act, three numbers): what they mean is up to `Hostile.act`.
ACTS = st.lists(st.tuples(st.integers(0, 9), WORDS, WORDS, WORDS), max_size=60)


class Hostile:
    """Interprets numbers as things that a driver might do, most of them wrong."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        guest.start()

    def act(self, kind: int, first: int, second: int, third: int) -> None:
        guest = self.guest
        queue = guest.queues[first % len(guest.queues)]
        match kind:
            case 0:
                guest.write(REGISTERS[first % len(REGISTERS)], second)
            case 1:
                size = (1, 2, 4, 8)[second % 4]
                guest.transport.write(first % 0x200, size, third % (1 << 8 * size))
            case 2:
                guest.transport.read(first % 0x200, (1, 2, 4, 8)[second % 4])
            case 3:
                # With those by which a packed descriptor is available, or is not.
                flags = third % 8 | third & (AVAIL | USED)
                queue.describe(second % queue.size, d.RAM + third % d.RAM_SIZE, second, flags, 1)
            case 4:
                queue.describe(second % queue.size, second, third, third % 8, first % queue.size)
            case 5:
                queue.publish(second & 0xFFFF)
            case 6 | 7:
                guest.kick(first % len(guest.queues))
            case 8:
                place = d.RAM + second % (d.RAM_SIZE - 8)
                guest.memory.write(d.Gpa(place), third.to_bytes(8, "little"))
            case 9:
                if third % 8 == 0:
                    guest.start()


def restart(guest: Guest) -> None:
    """Check that a reset brings the device back into service."""
    guest.start()
    assert not guest.needs_reset
    for index in range(len(guest.queues)):
        guest.kick(index)
    assert not guest.needs_reset


@pytest.mark.parametrize("make", KINDS)
@given(acts=ACTS)
def test_nothing_that_a_driver_does_raises(
    make: Make, acts: list[tuple[int, int, int, int]]
) -> None:
    memory = d.ram()
    hostile = Hostile(Guest(make(memory), memory))
    for act in acts:
        hostile.act(*act)
    restart(hostile.guest)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("seed", list(range(4)))
def test_well_formed_rings_with_wild_content_raise_nothing(make: Make, seed: int) -> None:
    """Chains are right, so that requests reach the device; what is in them is not."""
    dice = random.Random(seed)
    memory = d.ram()
    guest = Guest(make(memory), memory)
    guest.start()
    for _ in range(300):
        scribble(dice, guest)
    restart(guest)


def scribble(dice: random.Random, guest: Guest) -> None:
    index = dice.randrange(len(guest.queues))
    queue = guest.queues[index]
    if len(queue._free) < 8 or queue._buffers > queue._end - 16384 or guest.needs_reset:
        guest.start()
        return
    shape = [False] * dice.randrange(4) + [True] * dice.randrange(4)
    chain = []
    for writable in shape or [True]:
        length = dice.choice((0, 1, 4, 7, 8, 11, 12, 16, 24, 44, 512, 513))
        content = bytes(dice.choices((0, 0, 0, 1, 2, 4, 8, 255, dice.getrandbits(8)), k=length))
        chain.append((queue.allocate(length, content), length, writable))
    queue.offer(chain, indirect=dice.random() < 0.3)
    guest.kick(index)
    while queue.take():
        pass


def test_kinds_have_numbers_of_their_own() -> None:
    memory = d.ram()
    numbers = [Guest(make(memory), memory).read(d.DEVICE_ID) for make in KINDS]
    assert len(set(numbers)) == len(numbers) // 2  # each is there with either layout
