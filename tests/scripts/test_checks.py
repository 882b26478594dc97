"""How `scripts/test` reads what pytest says."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from scripts import checks


def test_counts_are_those_of_the_closing_line() -> None:
    lines = ["2 passed in my dreams", "== 1 failed, 12 passed, 2 skipped, 1 error in 3.25s =="]
    counts, note = checks.read_verdict(lines, 1)
    assert counts == Counter(failed=1, passed=12, skipped=2, errors=1)
    assert note == ""


@pytest.mark.parametrize("line", ["Segmentation fault", "== 3 passed in 0.10s =="])
def test_a_status_that_the_closing_line_does_not_explain_is_an_error(line: str) -> None:
    counts, note = checks.read_verdict([line], 125)
    assert counts["errors"] == 1
    assert note == ", ended with status 125"


def test_a_long_run_is_read_too() -> None:
    lines = ["====== 1380 passed, 1 skipped in 129.08s (0:02:09) ======"]
    assert checks.read_verdict(lines, 0) == (Counter(passed=1380, skipped=1), "")


def test_what_pytest_prints_is_shown_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = checks.run_pytest("x", [sys.executable, "-c", "print('== 1 failed in 0.10s ==')"])
    assert outcome.failed
    assert "1 failed in 0.10s" in capsys.readouterr().out


def test_the_lab_gets_the_files_with_tests_for_kvm_of_any_architecture() -> None:
    files = checks.files_with_kvm_tests()
    kvm = "tests/vmm/backends/kvm"
    assert {f"{kvm}/test_x86_64.py", f"{kvm}/test_arm64.py", f"{kvm}/test_vm.py"} <= set(files)
    assert "tests/vmm/test_bus.py" not in files


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
