"""What the kernel's services cost: instructions and time of a call, beside Linux on this host.

    scripts/bench services [--arch arm64] [--backend kvm] [--unikraft DIR]

The same static program makes the calls on Linux and in the guest, so that both are measured by
their own clocks in the same way. Linux runs on the processor itself: on the Unicorn backend the
ratio says how much an emulated processor costs, the count of instructions says what the kernel
does. Programs of another architecture than the host's have no Linux beside them. With `--unikraft
DIR` there is Unikraft's count beside ours, where DIR has an image that does the same operations
(`marks.py` tells how anybody can build one).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.marks import NotCounted, Peer, add_peer_option, compile_program, count_ours
from vmm import Machine
from vmm.arch import ARCHITECTURES, host_arch

# How often each operation is made for its time, and for its instructions.
COUNTS = {
    "null": (20_000, 400),
    "pipe-1": (10_000, 400),
    "pipe-64": (10_000, 400),
    "pipe-4096": (5_000, 400),
    "socketpair": (5_000, 200),
    "eventfd": (10_000, 400),
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


def report(arch: str, backend: str, rounds: int, peer: Peer) -> None:
    """Print what each operation takes."""
    program = compile_program("service_calls.c", arch)
    has_linux = arch == host_arch()
    print(f"{arch} guest: instructions; ns on {backend}, medians of {rounds}")
    heads = ("Calypso", "Unikraft", "ratio", "guest ns", "Linux ns", "guest / Linux")
    print("{:22} {:>12} {:>12} {:>7} {:>10} {:>10} {:>14}".format("", *heads))
    for name, (_, counted) in COUNTS.items():
        ours = count_ours(program, arch, name, str(counted), "marked")
        guest = guest_time(program, name, backend, rounds)
        times = f"{guest:10.0f}"
        if has_linux:
            linux = linux_time(program, name, rounds)
            times += f" {linux:10.0f} {guest / linux:14.1f}"
        print(f"{name:22} {ours:12.0f} {peer.columns(name, ours)} {times}", flush=True)
        for way in peer.ways(name)[1:]:
            print(f"{'  by a trap there':22} {ours:12.0f} {peer.columns(way, ours)}")
    cost = service_call(arch, backend, rounds)
    print(f"a service call from Python: {cost:.1f} us, {cost / GOAL:.2f} of the goal of {GOAL:g}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench services", description=__doc__)
    parser.add_argument("--arch", choices=ARCHITECTURES, default=host_arch())
    parser.add_argument("--backend", choices=("unicorn", "kvm"), default="unicorn")
    add_peer_option(parser)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    try:
        peer = Peer(options.unikraft, options.arch)
        report(options.arch, options.backend, options.rounds, peer)
    except NotCounted as error:
        sys.exit(f"not counted: {error}")


if __name__ == "__main__":
    main()
