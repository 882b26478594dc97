"""Drives every virtio device with random deeds of hostile drivers, for as long as one likes.

    python -m tests.vmm.devices.virtio.fuzz [operations of each device] [first seed]

A finding is a traceback behind the seed that leads to it again.
"""

from __future__ import annotations

import random
import sys

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from tests.vmm.devices.virtio.kinds import KINDS, Make
from tests.vmm.devices.virtio.test_hostile import Hostile, restart, scribble

# After so many operations a device begins anew, with the next seed.
ROUND = 400

EDGES = (0, 1, 2, 15, 16, 64, 256, 0x8000, 0xFFFF, 0xFFFF_FFFF)


def word(dice: random.Random) -> int:
    """Return a number that a driver might write, most likely an odd one."""
    return dice.choice(
        (
            dice.getrandbits(32),
            dice.getrandbits(4),
            dice.choice(EDGES),
            d.RAM + dice.randrange(8192),
        )
    )


def play(make: Make, seed: int) -> None:
    """Play one round; raises whatever the device raises."""
    dice = random.Random(seed)
    with d.ram() as memory:
        hostile = Hostile(Guest(make(memory), memory))
        for _ in range(ROUND):
            if dice.random() < 0.5:
                scribble(dice, hostile.guest)
            else:
                hostile.act(dice.randrange(10), word(dice), word(dice), word(dice))
        restart(hostile.guest)


def main() -> None:
    operations = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for make in KINDS:
        for seed in range(first, first + operations // ROUND):
            try:
                play(make, seed)
            except BaseException:
                print(f"{make.__name__}, seed {seed}:", file=sys.stderr)
                raise
        print(f"{make.__name__}: {operations} operations, no finding")


if __name__ == "__main__":
    main()
