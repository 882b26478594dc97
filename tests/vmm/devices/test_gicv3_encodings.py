"""The list of encodings that a board knows is that of the registers that the GIC declares."""

from __future__ import annotations

from vmm.devices.gicv3_cpu import CpuInterface
from vmm.devices.gicv3_encodings import ENCODINGS


def test_the_list_is_complete() -> None:
    assert sorted(ENCODINGS) == sorted(CpuInterface.encodings())
