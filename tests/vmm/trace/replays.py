"""What tests of replays have in common."""

from __future__ import annotations

from vmm.devices.device import Device
from vmm.trace.listing import describe
from vmm.trace.reader import Trace
from vmm.trace.replay import Replay


def departs(trace: Trace, name: str, kind: type[Device]) -> tuple[str, str, str]:
    """Return the step at which ``kind`` departs, what was recorded ("": nothing), what it does."""
    difference = Replay(trace, name, kind=kind).run().difference
    assert difference is not None
    found = (difference.during, difference.recorded, difference.replayed)
    step, recorded, replayed = (
        "" if record is None else describe(record).removeprefix(name) for record in found
    )
    return step, recorded, replayed


def repeats(trace: Trace, *names: str, least: int = 20) -> None:
    """See that the devices ``names`` do the same again, in ``least`` steps or more."""
    for name in names:
        outcome = Replay(trace, name).run()
        assert outcome.difference is None
        assert outcome.steps >= least
