"""PSCI 1.0 for a machine of one vCPU."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.backends.exits import Reset, Shutdown
from vmm.backends.unicorn import psci
from vmm.backends.unicorn.psci import Answer

U64 = st.integers(0, (1 << 64) - 1)


def call(function: int, first: int = 0, affinity: int = 0) -> Answer:
    return psci.call(affinity, function, (first, 0, 0))


def test_version_and_features() -> None:
    assert call(0x8400_0000) == Answer(0x1_0000)
    assert call(0x8000_0000) == Answer(0x1_0001)
    for function in (0x8400_0000, 0x8400_0008, 0x8400_0009, 0xC400_0001, 0x8000_0000):
        assert call(0x8400_000A, function) == Answer(psci.SUCCESS)
    assert call(0x8400_000A, 0x8400_000E) == Answer(psci.NOT_SUPPORTED)


def test_power() -> None:
    assert call(0x8400_0008).exit == Shutdown()
    assert call(0x8400_0009).exit == Reset()
    assert call(0x8400_0002) == Answer(psci.DENIED)


@pytest.mark.parametrize("function", [0x8400_0001, 0xC400_0001])
def test_suspend(function: int) -> None:
    assert call(function, 0) == Answer(suspend=True)
    assert call(function, 1 << 16) == Answer(psci.INVALID_PARAMETERS)


@pytest.mark.parametrize("function", [0x8400_0003, 0xC400_0003])
def test_other_cores_do_not_exist(function: int) -> None:
    assert call(function, first=2, affinity=2) == Answer(psci.ALREADY_ON)
    assert call(function, first=1, affinity=2) == Answer(psci.INVALID_PARAMETERS)


@given(U64, U64, U64, U64)
def test_any_call_is_answered(function: int, first: int, second: int, third: int) -> None:
    answer = psci.call(0, function, (first, second, third))
    assert -4 <= answer.result <= 0x1_0001
    assert answer == psci.call(0, function & 0xFFFF_FFFF, (first, second, third))
