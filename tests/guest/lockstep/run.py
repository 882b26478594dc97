"""Sequences of random calls, one after the other."""

from __future__ import annotations

import random

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.guest.lockstep.file_calls import FileCalls
from tests.guest.lockstep.peers import Peers
from tests.guest.lockstep.socket_calls import SocketCalls

# Steps of one sequence.
LENGTH = 60


def run(peers: Peers, steps: int, seed: int, *, shrink: bool = False) -> int:
    """Run sequences until there were this many steps; return how many there were.

    With ``shrink``, a sequence that fails is made as short as it can be, which may take minutes.
    """
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    peers.steps = 0
    number = random.Random(seed)
    machine = type("Calls", (FileCalls, SocketCalls), {"peers": peers})
    while peers.steps < steps:
        left = steps - peers.steps
        one = hypothesis.seed(number.getrandbits(32))(machine)
        run_state_machine_as_test(
            one,
            settings=settings(
                # The first sequence is the shortest there can be: one alone would get nowhere.
                max_examples=max(left // LENGTH, 2),
                stateful_step_count=LENGTH,
                phases=phases,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    return peers.steps
