"""Runs Solo5's own tests for hvt, built beside the project, and judges them as its script does.

    python -m tests.foreign.solo5_suite SOLO5/tests [--backend kvm] [--net]

The directory is that of a Solo5 source tree after ``make``, for either architecture. ``--net`` adds
the tests that need root and `ping`; they make their TAP interfaces.

A test of Solo5's script passes by its exit status and a word in its output. Differences: writing to
code and executing data is refused by page tables here, so that the unikernel aborts (255) instead
of the tender (1); the tender's messages about bad options and files are ours, with status 2.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vmm.errors import UsageError
from vmm.machine.machine import GuestTimeout, Machine

ABORT = 255
REFUSED = 2
FAILURE = 1


@dataclass(frozen=True)
class Case:
    """One test: how it is started, and what must come of it.

    Attributes:
        image: its name in Solo5's tree, without ``test_``.
        status: the exit status.
        word: must be in the output, or in the message of what is refused.
        absent: must not be in the output.
        arguments: of the unikernel.
        disks: sizes in bytes and further words of its disks, by name.
        interfaces: names and addresses of its TAP interfaces, by name.
        pings: what is to be sent to the unikernel: options and address.
    """

    image: str
    status: int = 0
    word: str = "SUCCESS"
    absent: str = ""
    arguments: tuple[str, ...] = ()
    disks: tuple[tuple[str, int, str], ...] = ()
    interfaces: tuple[tuple[str, str, str], ...] = ()
    pings: tuple[str, ...] = ()


STORAGE = 4096 * 1024
FIRST = ("service0", "tap100", "10.0.0.1/24")
SECOND = ("service1", "tap101", "10.1.0.1/24")

CASES = {
    "hello": Case("hello", arguments=("Hello_Solo5",)),
    "quiet": Case("quiet", absent="Solo5:", arguments=("--solo5:quiet",)),
    "output": Case("output", word="", arguments=("Output_Solo5",)),
    "globals": Case("globals"),
    "exception": Case("exception", ABORT, "ABORT"),
    "zeropage": Case("zeropage", ABORT, "ABORT"),
    "xnow": Case("xnow", ABORT, "ABORT"),
    "wnox": Case("wnox", ABORT, "ABORT"),
    "rnox": Case("rnox", ABORT, "ABORT"),
    "rnow": Case("rnow", ABORT, "ABORT"),
    "notls": Case("notls", ABORT, "ABORT"),
    "tls": Case("tls"),
    "ssp": Case("ssp", ABORT, "ABORT"),
    "fpu": Case("fpu"),
    "time": Case("time"),
    "blk": Case("blk", disks=(("storage", STORAGE, ""),)),
    "blk block-sector-size=4096": Case("blk", disks=(("storage", STORAGE, ",block-size=4096"),)),
    "blk misaligned": Case(
        "blk", REFUSED, "not whole blocks", disks=(("storage", 2048 * 3, ",block-size=4096"),)
    ),
    "blk odd": Case(
        "blk", REFUSED, "power of two", disks=(("storage", 521 * 3, ",block-size=521"),)
    ),
    "blk too small": Case(
        "blk", REFUSED, "power of two from 512", disks=(("storage", 256, ",block-size=256"),)
    ),
    "mft_maxdevices": Case(
        "mft_maxdevices", disks=tuple((f"storage{number}", 4096, "") for number in range(63))
    ),
}
NETWORK_CASES = {
    "net": Case(
        "net", arguments=("limit",), interfaces=(FIRST,), pings=("-fq -c 100000 10.0.0.2",)
    ),
    "net_2if": Case(
        "net_2if",
        arguments=("limit",),
        interfaces=(FIRST, SECOND),
        pings=("-fq -c 50000 10.0.0.2", "-fq -c 50000 10.1.0.2"),
    ),
    "net_mtu": Case("net_mtu", word="MTU is 9000", interfaces=(("service0", "tap102", ""),)),
    "net_ring": Case("net_ring", interfaces=(FIRST,), pings=("-fq -c 10000 -p deadbeef 10.0.0.2",)),
}


def run(case: Case, tests: Path, backend: str, timeout: float) -> str:
    """Run one test; return what is wrong, or "" if it passes."""
    image = tests / f"test_{case.image}" / f"test_{case.image}.hvt"
    with tempfile.TemporaryDirectory() as directory:
        disks = []
        for name, size, words in case.disks:
            path = Path(directory) / name
            path.write_bytes(bytes(size))
            disks.append(f"{name}={path}{words}")
        nets = [f"{name}={tap}" for name, tap, _ in case.interfaces]
        pings: list[subprocess.Popen[bytes]] = []
        try:
            with Machine(image, case.arguments, backend=backend, disks=disks, nets=nets) as machine:
                pings = [
                    subprocess.Popen(f"sleep 1; exec ping {options} >/dev/null", shell=True)
                    for options in case.pings
                ]
                status = machine.run(timeout)
                output = machine.console.output.decode(errors="replace")
        except UsageError as error:
            status, output = REFUSED, str(error)
        except GuestTimeout:
            return f"did not end within {timeout:g} s"
        finally:
            for ping in pings:
                ping.terminate()
                ping.wait()
    if status != case.status:
        return f"exit status {status}, not {case.status}: {output.splitlines()[-1:]}"
    if case.word not in output:
        return f"no {case.word!r} in its output"
    if case.absent and case.absent in output:
        return f"{case.absent!r} in its output"
    return ""


def make_interfaces() -> None:
    """Make the TAP interfaces as Solo5's setup script does, where they are missing."""
    commands = [
        f"ip tuntap add {tap} mode tap && ip link set {tap} up && ip addr add {address} dev {tap}"
        for _, tap, address in (FIRST, SECOND)
    ]
    commands.append("ip tuntap add tap102 mode tap && ip link set tap102 up mtu 9000")
    for command in commands:
        subprocess.run(command, shell=True, check=False, stderr=subprocess.DEVNULL)


def main() -> int:
    """Run what the command line says and print a line for each test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", type=Path)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--net", action="store_true")
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("names", nargs="*", help="which tests; all by default")
    options = parser.parse_intermixed_args()
    cases = dict(CASES)
    if options.net:
        make_interfaces()
        cases |= NETWORK_CASES
    failed = 0
    for name, case in cases.items():
        if options.names and name not in options.names:
            continue
        start = time.monotonic()
        problem = run(case, options.tests, options.backend, options.timeout)
        failed += bool(problem)
        print(f"{problem or 'passed':8} {time.monotonic() - start:6.2f} s  {name}", flush=True)
    print(f"{failed} failed")
    return FAILURE if failed else 0


if __name__ == "__main__":
    sys.exit(main())
