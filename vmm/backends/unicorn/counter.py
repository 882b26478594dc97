"""How the engine's counters, the host's monotonic clock, follow the guest's clock."""

from __future__ import annotations

from time import monotonic_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.lines import Clock

# A difference up to this is the time between two looks: the counter is left as it is.
SLACK_NS: Final = 1_000_000


def clock_offset(clock: Clock) -> int:
    """Return by how much the guest's clock is ahead of the host's, to within the slack.

    This thread may lose the processor between looking at one clock and at the other. Such a result
    would take the guest's counter back by that time.
    """
    while True:
        before = monotonic_ns()
        now = clock.now()
        if monotonic_ns() - before < SLACK_NS:
            return now - before
