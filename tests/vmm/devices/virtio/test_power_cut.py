"""A VMM that is killed loses nothing that the driver saw flushed; see `power_cut`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vmm.devices.virtio.power_cut import cut, expect


@pytest.mark.parametrize("seed", list(range(4)))
def test_nothing_flushed_is_lost(seed: int, tmp_path: Path) -> None:
    assert cut(tmp_path / "disk", seed, 0.05 * seed) >= 12


def test_what_is_expected_grows_with_what_was_flushed() -> None:
    assert expect(1, 0) == [0] * 64
    assert max(expect(1, 600)) == 600
    assert min(expect(1, 6000)) > 0
