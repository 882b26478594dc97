"""The yield inside polling, which is off unless asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.test_programs import build
from vmm import Machine

PROGRAM = Path(__file__).parent / "programs_of_options/polling.c"


@pytest.mark.parametrize(
    ("cmdline", "yields"), [("", False), ("poll.yield=0", False), ("poll.yield=1", True)]
)
def test_polls_before_another_thread_runs(arch: str, cmdline: str, yields: bool) -> None:
    program = build(PROGRAM, arch, "static")
    with Machine(program, backend="unicorn", cmdline=cmdline) as machine:
        assert machine.run(timeout=20) == 0
        polls = [int(count) for count in machine.console.output.split()]
    assert len(polls) == 3
    assert [count <= 1 for count in polls] == [yields] * 3
