"""The yield inside polling, which is off unless asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.test_programs import build
from vmm import Machine

PROGRAM = Path(__file__).parent / "programs_of_options/polling.c"


@pytest.mark.parametrize(
    ("cmdline", "polls"),
    [("", b"20 20 20\n"), ("poll.yield=0", b"20 20 20\n"), ("poll.yield=1", b"1 1 1\n")],
)
def test_polls_before_another_thread_runs(arch: str, cmdline: str, polls: bytes) -> None:
    program = build(PROGRAM, arch, "static")
    with Machine(program, backend="unicorn", cmdline=cmdline) as machine:
        assert machine.run(timeout=20) == 0
        assert machine.console.output == polls
