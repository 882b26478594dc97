"""What the kernel's services cost: instructions and time of a call, beside Linux on this host.

    scripts/bench services [--arch arm64] [--backend kvm]

The same static program makes the calls on Linux and in the guest, so that both are measured by
their own clocks in the same way. Linux runs on the processor itself: on the Unicorn backend the
ratio says how much an emulated processor costs, the count of instructions says what the kernel
does. Programs of another architecture than the host's have no Linux beside them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.measure import HERE, compile_c
from vmm import Machine
from vmm.arch import host_arch

TARGETS = {"x86_64": "x86_64-linux-musl", "arm64": "aarch64-linux-musl"}

# How often each operation is made for its time, and for its instructions.
COUNTS = {
    "null": (20_000, 400),
    "pipe-1": (10_000, 400),
    "pipe-64": (10_000, 400),
    "pipe-4096": (5_000, 400),
    "socketpair": (5_000, 200),
    "epoll-1": (10_000, 400),
    "epoll-100": (10_000, 400),
    "epoll-1000": (10_000, 400),
    "random-32": (10_000, 200),
    "random-1M": (3, 1),
    "open-close": (5_000, 200),
}

# How long one measurement may take, in ns: KVM that emulates ring 0 is a thousand times slower.
LONGEST = 0.5e9
TIMEOUT = 120

SERVICE_CALLS = 3000
GOAL = 60.0


def run(machine: Machine) -> str:
    if machine.run(TIMEOUT) != 0:
        sys.exit(f"the benchmark's program failed: {machine.console.output!r}")
    return machine.console.output.decode()


def guest_time(program: Path, name: str, backend: str, rounds: int) -> float:
    """Return nanoseconds of one operation in the guest."""

    def measure(times: int) -> float:
        with Machine(program, [name, str(times)], backend=backend) as machine:
            return float(run(machine))

    times = min(COUNTS[name][0], max(int(LONGEST / measure(1)), 1))
    return statistics.median(measure(times) for _ in range(rounds))


def linux_time(program: Path, name: str, rounds: int) -> float:
    """Return nanoseconds of one operation on this host."""
    command = [str(program), name, str(COUNTS[name][0])]
    return statistics.median(
        float(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(rounds)
    )


def instructions(program: Path, name: str) -> float:
    """Return how many instructions one operation takes, the program's own few included."""

    def count(times: int) -> int:
        with (
            Machine(program, [name, str(times)], backend="unicorn") as machine,
            machine.vcpu.count_instructions() as counter,  # type: ignore[attr-defined]
        ):
            run(machine)
            return int(counter.value)

    times = COUNTS[name][1]
    return (count(2 * times) - count(times)) / times


def service_call(arch: str, backend: str, rounds: int) -> float:
    """Return microseconds of one service call from Python."""
    figures = []
    with Machine.service(arch=arch, backend=backend) as machine:
        guest = machine.guest
        calls = SERVICE_CALLS if backend == "unicorn" else SERVICE_CALLS // 10
        for _ in range(rounds):
            started = time.perf_counter()
            for _ in range(calls):
                guest.getpid()
            figures.append((time.perf_counter() - started) / calls * 1e6)
    return statistics.median(figures)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench services", description=__doc__)
    parser.add_argument("--arch", choices=tuple(TARGETS), default=host_arch())
    parser.add_argument("--backend", choices=("unicorn", "kvm"), default="unicorn")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    arch, backend, rounds = options.arch, options.backend, options.rounds

    flags = ("-O2", "-static", "-target", TARGETS[arch])
    program = compile_c(HERE / "service_calls.c", *flags, arch=f"-{arch}")
    has_linux = arch == host_arch()
    print(f"{arch} guest on {backend}, medians of {rounds}")
    print(f"{'':12} {'instructions':>12} {'guest ns':>10} {'Linux ns':>10} {'guest / Linux':>14}")
    for name in COUNTS:
        spent = instructions(program, name)
        guest = guest_time(program, name, backend, rounds)
        row = f"{name:12} {spent:12.0f} {guest:10.0f}"
        if has_linux:
            linux = linux_time(program, name, rounds)
            row += f" {linux:10.0f} {guest / linux:14.1f}"
        print(row, flush=True)
    cost = service_call(arch, backend, rounds)
    print(f"a service call from Python: {cost:.1f} us, {cost / GOAL:.2f} of the goal of {GOAL:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
