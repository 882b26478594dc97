"""The command: ``python -m tests.guest.lockstep``."""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.guest import lockstep
from tests.guest.lockstep.peers import Peers
from tests.guest.lockstep.run import run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.guest.lockstep", description=lockstep.__doc__
    )
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--arch", choices=("x86_64", "arm64"), default="x86_64")
    parser.add_argument("--backend", choices=("unicorn", "kvm"), default="unicorn")
    parser.add_argument("--seed", type=int, default=random.getrandbits(32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    started = time.monotonic()
    peers = Peers(options.arch, options.backend)
    try:
        steps = run(peers, options.steps, options.seed, shrink=True)
    finally:
        peers.close()
    seconds = time.monotonic() - started
    print(f"{options.arch}: {steps} steps without a difference in {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
