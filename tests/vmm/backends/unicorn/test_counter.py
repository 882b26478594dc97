"""The offset of the guest's clock from the host's."""

from __future__ import annotations

import time

from tests.vmm.devices.parts import ManualClock
from vmm.backends.unicorn.counter import SLACK_NS, clock_offset


class SlowClock(ManualClock):
    """A clock whose first readers lose the processor while they look at it."""

    def __init__(self, slow: int, seconds: float) -> None:
        super().__init__()
        self.slow = slow
        self.seconds = seconds

    def now(self) -> int:
        if self.slow:
            self.slow -= 1
            time.sleep(self.seconds)
        return time.monotonic_ns() - 5_000_000_000


def test_a_look_that_was_interrupted_is_repeated() -> None:
    clock = SlowClock(3, 3 * SLACK_NS / 1e9)
    assert abs(clock_offset(clock) + 5_000_000_000) <= SLACK_NS
    assert not clock.slow


def test_a_look_of_microseconds_is_better_than_a_longer_one() -> None:
    clock = SlowClock(3, SLACK_NS / 10 / 1e9)
    assert abs(clock_offset(clock) + 5_000_000_000) <= SLACK_NS / 20
    assert not clock.slow


def test_a_clock_that_is_never_looked_at_fast_is_taken_as_it_is() -> None:
    clock = SlowClock(100, SLACK_NS / 10 / 1e9)
    assert abs(clock_offset(clock) + 5_000_000_000) <= SLACK_NS
    assert clock.slow
