"""Programs that run with their owner's rights. Linux is not asked: most hosts' tmpfs forbids it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.test_programs import build
from vmm import Machine

PROGRAM = Path(__file__).parent / "programs_of_options/set_user_id.c"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("0755",), "1000 1000 1000, 100 100 100, secure 0, told 1000 1000 100 100\n"),
        (("4755",), "1000 2000 2000, 100 100 100, secure 1, told 1000 2000 100 100\n"),
        (("2755",), "1000 1000 1000, 100 3000 3000, secure 1, told 1000 1000 100 3000\n"),
        (("2745",), "1000 1000 1000, 100 100 100, secure 0, told 1000 1000 100 100\n"),
        (("6755", "alone"), "1000 1000 1000, 100 100 100, secure 0, told 1000 1000 100 100\n"),
        (("0750",), "execl: Permission denied\n"),
    ],
)
def test_a_program_has_the_rights_of_its_file(arch: str, words: tuple[str, ...], told: str) -> None:
    program = build(PROGRAM, arch, "static")
    with Machine(program, words, arch=arch, backend="unicorn") as machine:
        machine.run(timeout=20)
        assert machine.console.output.decode() == told
