"""How the engine's counters, the host's monotonic clock, follow the guest's clock."""

from __future__ import annotations

from time import monotonic_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.lines import Clock

# A difference up to this is the time between two looks: the counter is left as it is.
SLACK_NS: Final = 1_000_000


# A look that took longer is repeated some times, for a shorter one: the counter goes ahead of the
# guest's clock by that time, and a timer set to what the counter just said would not have expired.
_CLOSE_NS: Final = 2_000
_LOOKS: Final = 16


def clock_offset(clock: Clock) -> int:
    """Return by how much the guest's clock is ahead of the host's, if it can be to 2 us.

    This thread may lose the processor between looking at one clock and at the other. A result off
    by more than the slack would take the guest's counter back by that time.
    """
    offset, shortest, looks = 0, SLACK_NS, 0
    while shortest >= SLACK_NS or (shortest >= _CLOSE_NS and looks < _LOOKS):
        before = monotonic_ns()
        now = clock.now()
        took = monotonic_ns() - before
        if took < shortest:
            offset, shortest = now - before, took
        looks += 1
    return offset
