"""Instructions between marks on the console."""

from __future__ import annotations

import pytest

from tests.benchmarks.marks import NotCounted, compile_program, count_ours

pytest.importorskip("ziglang", reason="needs the C compiler of the ziglang package")


def test_what_is_done_once_falls_out(arch: str) -> None:
    program = compile_program("marked_loop.c", arch)
    assert count_ours(program, arch, "1000", "7000") == 2


@pytest.mark.parametrize("counts", [("1000",), ("1000", "1000"), ("1000", "2000", "0")])
def test_marks_that_do_not_tell(counts: tuple[str, ...]) -> None:
    program = compile_program("marked_loop.c", "x86_64")
    with pytest.raises(NotCounted):
        count_ours(program, "x86_64", *counts)
