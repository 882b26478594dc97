"""The same as `fuzz`, led by coverage: input that reaches new code is kept and varied.

    pip install 'calypso-vmm[fuzz]'
    python -m tests.vmm.devices.virtio.fuzz_coverage [CORPUS] -runs=1000000

Options are libFuzzer's. A finding is written to a file ``crash-…``, which as an argument runs it
again.
"""

from __future__ import annotations

import sys

try:
    import atheris  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    sys.exit("this needs atheris: .venv/bin/pip install -e '.[fuzz]'")

with atheris.instrument_imports(include=["vmm.devices", "vmm.memory"]):
    from tests.vmm.devices.virtio.driver import Guest, ram
    from tests.vmm.devices.virtio.kinds import KINDS
    from tests.vmm.devices.virtio.test_hostile import Hostile, restart

MAX_ACTS = 60

# Made once: reserving guest RAM costs more than all acts of an input.
_MEMORY = ram()


def play(data: bytes) -> None:
    """Let the numbers in ``data`` be the deeds of a driver."""
    numbers = atheris.FuzzedDataProvider(data)
    make = KINDS[numbers.ConsumeIntInRange(0, len(KINDS) - 1)]
    hostile = Hostile(Guest(make(_MEMORY), _MEMORY))
    for _ in range(MAX_ACTS):
        if not numbers.remaining_bytes():
            break
        kind = numbers.ConsumeIntInRange(0, 9)
        hostile.act(kind, *(numbers.ConsumeUInt(4) for _ in range(3)))
    restart(hostile.guest)


if __name__ == "__main__":
    atheris.Setup(sys.argv, play)
    atheris.Fuzz()
