"""PSCI 1.0 for machines of one vCPU and of several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.backends.exits import Reset, Shutdown
from vmm.backends.unicorn.arm64 import psci
from vmm.backends.unicorn.arm64.psci import Answer

U64 = st.integers(0, (1 << 64) - 1)


def call(function: int, first: int = 0, states: tuple[int, ...] = (psci.ON,)) -> Answer:
    return psci.call(states, 0, function, (first, 0x1234, 0x5678))


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
def test_cores_are_started_once(function: int) -> None:
    states = (psci.ON, psci.OFF, psci.STARTING)
    assert call(function, 0, states) == Answer(psci.ALREADY_ON)
    assert call(function, 1, states) == Answer(start=(1, 0x1234, 0x5678))
    assert call(function, 2, states) == Answer(psci.ON_PENDING)
    for address in (3, 0x100, 1 << 32):
        assert call(function, address, states) == Answer(psci.INVALID_PARAMETERS)


def test_the_last_core_cannot_be_switched_off() -> None:
    assert call(0x8400_0002, states=(psci.ON, psci.OFF)) == Answer(psci.DENIED)
    assert call(0x8400_0002, states=(psci.ON, psci.ON)) == Answer(off=True)
    assert call(0x8400_0002, states=(psci.ON, psci.STARTING)) == Answer(off=True)


@pytest.mark.parametrize("function", [0x8400_0004, 0xC400_0004])
def test_states_of_cores(function: int) -> None:
    states = (psci.ON, psci.OFF, psci.STARTING)
    assert [call(function, core, states).result for core in range(4)] == [0, 1, 2, -2]


@given(U64, U64, U64, U64)
def test_any_call_is_answered(function: int, first: int, second: int, third: int) -> None:
    states = (psci.ON, psci.OFF)
    answer = psci.call(states, 0, function, (first, second, third))
    assert -5 <= answer.result <= 0x1_0001
    assert answer == psci.call(states, 0, function & 0xFFFF_FFFF, (first, second, third))
