"""Drives every device with registers, the random number generator among them, with wild accesses.

    python -m tests.vmm.devices.fuzz [operations of each device] [first seed]

A finding is a traceback behind the seed that leads to it again. `tests.vmm.devices.virtio.fuzz` is
the same for virtio devices.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

from tests.vmm.devices.test_state import SITUATIONS, Situation

# After so many operations a device begins anew, with the next seed.
ROUND = 1000


def play(make: Callable[[], Situation], seed: int) -> None:
    """Play one round; raises whatever the device raises."""
    dice = random.Random(seed)
    situation = make()
    for _ in range(ROUND):
        situation.step(dice)
        region, offset = dice.choice(situation.places)
        offset = dice.choice((offset, offset + dice.randrange(8), dice.randrange(0x1000)))
        size = dice.choice((1, 2, 4, 8))
        if dice.random() < 0.5:
            region.write(offset, size, dice.getrandbits(8 * size))
        else:
            assert 0 <= region.read(offset, size) < 1 << 8 * size
        # Nothing looks at it here, and it must not grow for ever.
        situation.seen.clear()
    situation.device.load(situation.device.save())
    situation.device.reset()


def main() -> None:
    operations = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for make in SITUATIONS:
        for seed in range(first, first + max(operations // ROUND, 1)):
            try:
                play(make, seed)
            except BaseException:
                print(f"{make.__name__}, seed {seed}:", file=sys.stderr)
                raise
        print(f"{make.__name__}: {operations} operations, no finding")


if __name__ == "__main__":
    main()
