"""Runs every check of the checkout and sums them up; what `scripts/test` does."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from scripts import inputs
from scripts.debian import DebianError, install_tools
from scripts.lab.images import ARCHITECTURES

TOP = Path(__file__).resolve().parent.parent

# Commands that tests run and pip cannot provide.
HOST_TOOLS = {
    "dtc": "device-tree-compiler",
    "passt": "passt",
    "strace": "strace",
    "zstd": "zstd",
}

CHECKS = {
    "ruff check": ["-m", "ruff", "check"],
    "ruff format": ["-m", "ruff", "format", "--check"],
    "mypy --strict": ["-m", "mypy"],
    "guest and bindings": ["scripts/generate.py"],
}

# All tests, on all processors; those of a file stay together, for they share what they built. Tests
# wait for each other's machines now and then, so there is work for one process more.
PARALLEL = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile"]

LAB = [sys.executable, "scripts/kvm-lab"]
LAB_PYTEST = ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5"]
LAB_TIMEOUT = 900

# pytest's exit status when the arguments select no test.
NO_TESTS = 5

WIDTH = 100

_printing = Lock()


@dataclass
class Outcome:
    """How one step ended: its counts in pytest's words, and what went with them."""

    name: str
    seconds: float = 0
    counts: Counter[str] = field(default_factory=Counter)
    note: str = ""

    @property
    def failed(self) -> bool:
        """Tell whether the whole run fails because of this step."""
        return self.counts["failed"] + self.counts["errors"] > 0

    def __str__(self) -> str:
        return f"{self.name:20} {describe(self.counts)}{self.note} ({self.seconds:.1f} s)"


def describe(counts: Counter[str]) -> str:
    """Return counts as pytest's closing line puts them."""
    words = ("failed", "errors", "passed", "skipped", "deselected", "xfailed", "xpassed")
    return ", ".join(f"{counts[word]} {word}" for word in words if counts[word])


def heading(text: str) -> None:
    """Print a line that starts a section."""
    print(f" {text} ".center(WIDTH, "="), flush=True)


def run_check(name: str, arguments: Sequence[str]) -> Outcome:
    """Run a tool that has one verdict."""
    heading(name)
    started = time.monotonic()
    status = subprocess.run([sys.executable, *arguments], cwd=TOP, check=False).returncode
    counts = Counter({"failed" if status else "passed": 1})
    return Outcome(name, time.monotonic() - started, counts)


def run_pytest(name: str, command: Sequence[str]) -> Outcome:
    """Run a command that ends in pytest's closing line, and count what that says."""
    heading(name)
    started = time.monotonic()
    lines = []
    with subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    seconds = time.monotonic() - started
    return Outcome(name, seconds, *read_verdict(lines, process.returncode))


def read_verdict(lines: Sequence[str], status: int) -> tuple[Counter[str], str]:
    """Return the counts in pytest's closing line, and a note on what they do not tell."""
    closing = [line for line in lines if re.search(r"\bin \d+\.\d+s\b", line)]
    counts: Counter[str] = Counter()
    if closing:
        for number, word in re.findall(r"(\d+) (\w+)", closing[-1].split(" in ")[0]):
            counts["errors" if word == "error" else word] += int(number)
    if status == 0 or counts["failed"] or counts["errors"]:
        return counts, ""
    counts["errors"] += 1
    return counts, f", ended with status {status}"


class Lab:
    """The KVM lab's part: images are built while other checks run, then both boot side by side."""

    def __init__(self) -> None:
        self._build = subprocess.Popen(
            [*LAB, "build"], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, pytest_arguments: Sequence[str]) -> list[Outcome]:
        """Run the KVM tests once per architecture."""
        problem = self._wait()
        if problem is not None:
            return [unavailable(f"lab {name}", problem) for name in ARCHITECTURES]
        arguments = pytest_arguments or files_with_kvm_tests()
        with ThreadPoolExecutor() as both:
            return list(both.map(lambda name: run_in_lab(name, arguments), ARCHITECTURES))

    def _wait(self) -> str | None:
        messages, _ = self._build.communicate()
        return None if self._build.returncode == 0 else messages.strip()


def files_with_kvm_tests() -> list[str]:
    """Return the files that have tests for KVM: importing all others takes the lab a minute."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-rs", "-m", "kvm"]
    listing = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True, check=False)
    # A file that is skipped as a whole here, for its architecture, is not where it belongs.
    files = re.findall(r"^(?:SKIPPED \[\d+\] )?(tests/[\w/]+\.py):", listing.stdout, re.M)
    return sorted(set(files))


def run_in_lab(architecture: str, pytest_arguments: Sequence[str]) -> Outcome:
    """Run the KVM tests of one architecture, and print what they say when they have ended."""
    command = [*LAB, "run", "--timeout", str(LAB_TIMEOUT), architecture, *LAB_PYTEST]
    started = time.monotonic()
    result = subprocess.run(
        # The last -m is the one that counts.
        [*command, *pytest_arguments, "-m", "kvm"],
        cwd=TOP,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    name = f"lab {architecture}"
    with _printing:
        heading(name)
        print(result.stdout, end="", flush=True)
    seconds = time.monotonic() - started
    if result.returncode == NO_TESTS:
        return Outcome(name, seconds, note="nothing selected")
    return Outcome(name, seconds, *read_verdict(result.stdout.splitlines(), result.returncode))


def unavailable(name: str, reason: str) -> Outcome:
    """Account for a step that cannot be had here: skipped, but on CI that is a failure."""
    print(f"{name}: not run: {reason}", file=sys.stderr)
    counts = Counter({"failed" if os.environ.get("CI") else "skipped": 1})
    return Outcome(name, counts=counts, note=f": {reason.splitlines()[-1] if reason else '?'}")


def fetch_inputs() -> None:
    """Get what tests need from outside; where it cannot be had they say so and are skipped."""
    try:
        install_tools(HOST_TOOLS)
    except DebianError as error:
        print(f"tests that need it will be skipped: {error}", file=sys.stderr)
    for arch in ("x86_64", "arm64"):
        try:
            inputs.busybox(arch)
        except DebianError as error:
            print(f"tests that need it will be skipped: {error}", file=sys.stderr)


def summarize(outcomes: Sequence[Outcome], seconds: float) -> int:
    """Print one line per step and the sum of all; return the exit status."""
    heading("summary")
    total: Counter[str] = Counter()
    for outcome in outcomes:
        print(outcome)
        total.update(outcome.counts)
    # Each of the lab's boots deselects most tests: their sum says nothing.
    del total["deselected"]
    heading(f"{describe(total)} in {seconds:.2f}s")
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description="Run all checks. Other arguments go to pytest; then the lab is left out "
        "unless --lab is given.",
    )
    parser.add_argument(
        "--lab",
        action=argparse.BooleanOptionalAction,
        help="run the KVM tests in the lab, one boot per architecture",
    )
    options, pytest_arguments = parser.parse_known_args()
    with_lab = options.lab if options.lab is not None else not pytest_arguments

    started = time.monotonic()
    lab = Lab() if with_lab else None
    outcomes = [run_check(name, arguments) for name, arguments in CHECKS.items()]
    fetch_inputs()
    arguments = pytest_arguments or PARALLEL
    outcomes.append(run_pytest("pytest", [sys.executable, "-m", "pytest", *arguments]))
    if lab is not None:
        outcomes += lab.run(pytest_arguments)
    else:
        print("the lab is left out: KVM tests ran on this host's KVM only, if on any")
    return summarize(outcomes, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
