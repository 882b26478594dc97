"""A short run of the fuzzer; `fuzz` runs for as long as one likes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.vmm.devices.fuzz import play
from tests.vmm.devices.test_state import SITUATIONS, Situation


@pytest.mark.parametrize("make", SITUATIONS)
def test_no_access_raises(make: Callable[[], Situation]) -> None:
    play(make, 0)
