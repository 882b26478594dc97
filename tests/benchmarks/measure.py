"""What benchmarks share: timing of whole processes, peers, tables of ratios.

A figure counts only beside a peer or a floor of the same run: machines differ, and one machine
differs from hour to hour. So cases are run in turn, round after round, and compared by medians.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "calypso" / "benchmarks"


@dataclass
class Case:
    """Something to measure.

    Attributes:
        name: for the table.
        measure: does it once and returns seconds (or another figure).
        figures: what it returned, round by round.
    """

    name: str
    measure: Callable[[], float]
    figures: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.figures)


def run_rounds(cases: Sequence[Case], rounds: int) -> None:
    """Measure all cases once a round, after one round that is thrown away."""
    for case in cases:
        case.measure()
    for number in range(rounds):
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for case in cases:
            case.figures.append(case.measure())
    print(file=sys.stderr)


def process_time(command: Sequence[str], expect: bytes, status: int = 0) -> Callable[[], float]:
    """Return a measurement of the wall time of a whole process, checking what it printed."""

    def measure() -> float:
        start = time.perf_counter()
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
        elapsed = time.perf_counter() - start
        if done.returncode != status or expect not in done.stdout:
            sys.exit(
                f"{' '.join(command)}: status {done.returncode}, printed {done.stdout[-200:]!r}"
                f" {done.stderr[-400:].decode(errors='replace')}"
            )
        return elapsed

    return measure


def idle_memory(command: Sequence[str], settle: float = 1.0) -> float:
    """Return the resident memory in MiB of a process tree's root once it has settled."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(settle)
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        sys.exit(f"{' '.join(command)} ended with {process.wait()} before it could be measured")
    finally:
        process.kill()
        process.wait()


def compile_c(source: Path, *options: str, arch: str = "") -> Path:
    """Compile a C or assembly file of this folder unless that is done, and return the program."""
    CACHE.mkdir(parents=True, exist_ok=True)
    program = CACHE / f"{source.stem}{arch}"
    changed = max(file.stat().st_mtime for file in (source, *HERE.glob("*.h")))
    if not program.exists() or program.stat().st_mtime < changed:
        compiler = [sys.executable, "-m", "ziglang", "cc"]
        subprocess.run([*compiler, *options, "-o", str(program), str(source)], check=True)
    return program


def find_qemu() -> str | None:
    """Return QEMU for x86_64, or None after saying that its figures will be missing."""
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        print("qemu-system-x86_64 is not installed: no figures of it", file=sys.stderr)
    return qemu


def print_table(cases: Sequence[Case], unit: str, scale: float, peers: Sequence[Case]) -> None:
    """Print medians in ``unit``, and each as a ratio to the peers' medians."""
    width = max(len(case.name) for case in cases)
    header = f"{'':{width}}  {'median ' + unit:>12}  {'min':>8}  {'max':>8}"
    print(header + "".join(f"  {'/ ' + peer.name:>{len(peer.name) + 2}}" for peer in peers))
    for case in cases:
        row = f"{case.name:{width}}  {case.median * scale:12.2f}"
        row += f"  {min(case.figures) * scale:8.2f}  {max(case.figures) * scale:8.2f}"
        for peer in peers:
            row += f"  {case.median / peer.median:{len(peer.name) + 2}.2f}"
        print(row)
