"""Instructions of operations that a kernel does between marks on its console.

Any kernel that `vmm run` boots can be counted so, whatever it is made of. For each operation it
writes lines to its console, by whatever prints there:

    calypso-bench: NAME COUNT
    calypso-bench: end

and does the operation COUNT times in between; then both once more with another COUNT, twice the
first for example. The Unicorn backend counts the instructions between the ends of the two lines.
What the operation takes is the difference of two such stretches, divided by that of their COUNTs:
printing, and whatever is done once, falls out. Nothing else may be printed between the marks, and
an operation whose first time is special should be done once before. At the end the kernel powers
off. Other lines are left alone.

`marks.h` does this for a program in C. The NAMEs of a peer's image are those of `kernel.py` and
`services.py`; what each of them does is in `kernel_operations.c` and `service_calls.c`. A kernel
whose system calls are function calls may offer `NAME-trap`, too: the same, entered by the
processor's instruction for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.benchmarks.measure import HERE, compile_c
from vmm import Machine, VmmError
from vmm.hypercall.abi import STREAM_OUTPUT

PREFIX = b"calypso-bench: "
END = b"end"
TIMEOUT = 120.0
MEMORY = 64 << 20

# Threads are not preempted: interrupts come at times that differ.
CMDLINE = "sched.preempt=0"
TARGETS = {"x86_64": "x86_64-linux-musl", "arm64": "aarch64-linux-musl"}


class NotCounted(Exception):
    """A kernel's marks make no sense, or it never came to its end."""


class _Stretches:
    """Takes a machine's output, and the count of instructions at each piece of it."""

    def __init__(self) -> None:
        self.counted: dict[str, dict[int, int]] = {}
        self._line = b""
        self._open: tuple[str, int, int] | None = None

    def take(self, data: bytes, instructions: int) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if line.startswith(PREFIX):
                self._take_mark(line.removeprefix(PREFIX).strip(), instructions)

    @property
    def is_open(self) -> bool:
        """Tell whether an operation has begun that did not end."""
        return self._open is not None

    def _take_mark(self, mark: bytes, instructions: int) -> None:
        if mark != END:
            name, times = mark.decode().rsplit(maxsplit=1)
            self._open = name, int(times), instructions
        elif self._open is not None:
            name, count, start = self._open
            self.counted.setdefault(name, {})[count] = instructions - start
            self._open = None


def count_marked(machine: Machine) -> dict[str, float]:
    """Run a machine of the Unicorn backend to its end; return the instructions per operation.

    Raises:
        NotCounted: if an operation was not done with two counts, or the guest failed.
    """
    stretches = _Stretches()
    console = machine.console
    write = console.write
    with machine.vcpu.count_instructions() as counter:  # type: ignore[attr-defined]

        def watch(data: bytes, stream: int = STREAM_OUTPUT) -> None:
            stretches.take(data, counter.value)
            write(data, stream)

        console.write = watch  # type: ignore[method-assign]
        try:
            status = machine.run(timeout=TIMEOUT)
        except VmmError as error:
            raise NotCounted(f"{error}, after {console.output[-200:]!r}") from error
    if status != 0 or stretches.is_open:
        raise NotCounted(f"status {status}, after {console.output[-200:]!r}")
    return {name: _slope(name, counts) for name, counts in stretches.counted.items()}


def _slope(name: str, counts: dict[int, int]) -> float:
    if len(counts) != 2:
        raise NotCounted(f"{name} was done with {len(counts)} different counts instead of two")
    (few, short), (many, long) = sorted(counts.items())
    return (long - short) / (many - few)


def compile_program(source: str, arch: str) -> Path:
    """Compile a program of this folder for a guest, static."""
    flags = ("-O2", "-static", "-std=gnu11", "-fno-sanitize=all", "-target", TARGETS[arch])
    return compile_c(HERE / source, *flags, arch=f"-{arch}")


def count_ours(program: Path, arch: str, *words: str) -> float:
    """Return the instructions of the one operation that a program does in a guest of ours."""
    with Machine(
        program, words, arch=arch, backend="unicorn", memory=MEMORY, cmdline=CMDLINE
    ) as machine:
        (figure,) = count_marked(machine).values()
        return figure


class Peer:
    """What another kernel's operations take, where the user has an image that marks them."""

    def __init__(self, directory: Path | None, arch: str) -> None:
        """Count what `bench-ARCH` in a folder does, if there is one.

        Raises:
            NotCounted: see `count_marked`.
        """
        image = directory / f"bench-{arch}" if directory else None
        self.given = image is not None and image.exists()
        self.figures: dict[str, float] = {}
        if image is not None and self.given:
            with Machine(image, backend="unicorn", memory=MEMORY) as machine:
                self.figures = count_marked(machine)

    def columns(self, name: str, ours: float) -> str:
        """Return an operation's instructions and the ratio of ours to them, for a table."""
        if not self.given:
            return f"{'not given':>12} {'':7}"
        figure = self.figures.get(name)
        if figure is None:
            return f"{'none':>12} {'':7}"
        return f"{figure:12.0f} {ours / figure:7.2f}"

    def ways(self, name: str) -> list[str]:
        """Return under which names there is an operation: `name`, perhaps also by a trap."""
        trap = f"{name}-trap"
        return [name, trap] if trap in self.figures else [name]


def add_peer_option(parser: argparse.ArgumentParser) -> None:
    """Let the user name a folder with another kernel's images."""
    parser.add_argument(
        "--unikraft",
        type=Path,
        metavar="DIR",
        help="folder of Unikraft's images (or another kernel's) bench-x86_64 and bench-arm64, "
        "which mark operations as tests/benchmarks/marks.py says; by default none",
    )
