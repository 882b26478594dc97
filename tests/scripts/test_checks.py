"""How `scripts/test` reads what pytest says."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from scripts import checks


def pytest_that_says(line: str, status: int) -> list[str]:
    return [sys.executable, "-c", f"print({line!r}); raise SystemExit({status})"]


def test_counts_are_those_of_the_closing_line() -> None:
    command = pytest_that_says("== 1 failed, 12 passed, 2 skipped, 1 error in 3.25s ==", 1)
    outcome = checks.run_pytest("x", command)
    assert outcome.counts == Counter(failed=1, passed=12, skipped=2, errors=1)
    assert outcome.failed


def test_an_end_without_closing_line_is_an_error() -> None:
    assert checks.run_pytest("x", pytest_that_says("Segmentation fault", 139)).failed


def test_a_status_that_the_closing_line_does_not_explain_is_an_error() -> None:
    assert checks.run_pytest("x", pytest_that_says("== 3 passed in 0.10s ==", 125)).failed


@pytest.mark.parametrize("may_be_empty", [False, True])
def test_no_tests_is_a_failure_unless_it_may_be(may_be_empty: bool) -> None:
    command = pytest_that_says("== 7 deselected in 0.10s ==", checks.NO_TESTS)
    outcome = checks.run_pytest("x", command, may_be_empty=may_be_empty)
    assert outcome.failed is not may_be_empty


@pytest.mark.parametrize(("ci", "failed"), [("", False), ("true", True)])
def test_an_impossible_lab_is_a_skip_but_on_ci_a_failure(
    monkeypatch: pytest.MonkeyPatch, ci: str, failed: bool
) -> None:
    monkeypatch.setenv("CI", ci)
    assert checks.unavailable("lab", "no cpio here").failed is failed


def test_the_last_line_sums_up(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        checks.Outcome("ruff check", counts=Counter(passed=1)),
        checks.Outcome("pytest", counts=Counter(passed=4, skipped=1)),
        checks.Outcome("lab arm64", counts=Counter(passed=2, deselected=90)),
    ]
    assert checks.summarize(outcomes, 12.5) == 0
    assert "= 7 passed, 1 skipped in 12.50s =" in capsys.readouterr().out.splitlines()[-1]
