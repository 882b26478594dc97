"""Guests on the engine, with its inside open and closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.vmm.backends.unicorn.arm64.guest import Guest as Arm64Guest
from tests.vmm.backends.unicorn.x86.guest import Guest
from vmm.backends.unicorn.internals import SWITCH, open_internals
from vmm.backends.unicorn.library import open_library

if TYPE_CHECKING:
    from vmm.lines import Clock

MakeGuest = Callable[..., Guest]


@pytest.fixture(params=["native", "public"])
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the backend deals with the engine."""
    if request.param == "public":
        monkeypatch.setenv(SWITCH, "0")
    elif open_internals(open_library()) is None:
        pytest.skip("the engine's internals are not known for this build of its library")
    return str(request.param)


@pytest.fixture
def x86_guest(core: str) -> Iterator[MakeGuest]:
    """Make x86_64 guests, see `Guest`; they are closed in the end."""
    guests: list[Guest] = []

    def make(source: str, mode: str = "long", clock: Clock | None = None) -> Guest:
        guests.append(Guest(source, mode, clock))
        return guests[-1]

    yield make
    for guest in guests:
        guest.close()


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only with the engine's inside open."""
    monkeypatch.delenv(SWITCH, raising=False)
    if open_internals(open_library()) is None:
        pytest.skip("the engine's internals are not known for this build of its library")


@pytest.fixture
def arm64_guest(core: str) -> Iterator[Callable[[str], Arm64Guest]]:
    """Make arm64 guests from assembly; they are closed in the end."""
    guests: list[Arm64Guest] = []

    def make(source: str) -> Arm64Guest:
        guests.append(Arm64Guest(source))
        return guests[-1]

    yield make
    for guest in guests:
        guest.close()
