"""The same Linux, initramfs and script in our machine and in QEMU's, both emulating arm64.

The script's sections are timed here, between the lines that it prints at their beginning and end:
guests' clocks are not compared.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts import inputs
from tests.benchmarks.measure import ROOT, Case
from tests.foreign.linux import initrd

VMM = str(ROOT / "scripts" / "vmm")
TIMEOUT = 300

# Of a machine like ours: memory-mapped virtio, no PCI, one processor.
QEMU_OPTIONS = (
    "-M virt -cpu cortex-a72 -accel tcg -smp 1 -m 256 -nodefaults -no-reboot -display none"
    " -serial stdio -global virtio-mmio.force-legacy=false"
).split()

FUNCTIONS = """
timed() { name=$1; shift; echo "begin $name"; "$@" >/dev/null 2>&1; echo "end $?"; }
"""


@dataclass
class Section:
    """One part of the script.

    Attributes:
        name: for the table.
        command: what the guest's shell executes.
        requests: how many requests of a device that takes.
        size: of each, in bytes.
    """

    name: str
    command: str
    requests: int
    size: int


@dataclass
class Guest:
    """A way to run the guest.

    Attributes:
        name: for the table.
        command: starts it, with its console on standard output.
        seconds: what each section took, run by run.
    """

    name: str
    command: list[str]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def run(self) -> None:
        """Boot once, and time the sections."""
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        name, start, printed = "", 0.0, []
        deadline = time.monotonic() + TIMEOUT
        for line in process.stdout:
            now = time.perf_counter()
            printed.append(line)
            words = line.split()
            if words[:1] == ["begin"]:
                name, start = words[1], now
            elif words[:1] == ["end"]:
                if words[1] != "0":
                    break
                self.seconds.setdefault(name, []).append(now - start)
            if time.monotonic() > deadline:
                break
        else:
            if process.wait() == 0 and self.seconds:
                return
        process.kill()
        process.wait()
        sys.exit(f"{self.name} failed in section {name!r}:\n" + "".join(printed[-20:]))


def build(directory: Path, modules: list[str], prepare: str, sections: Sequence[Section]) -> Path:
    """Write an initramfs whose init runs all sections, and return it."""
    lines = [f"timed {section.name} sh -c '{section.command}'\n" for section in sections]
    kernel, busybox = inputs.linux("arm64", "generic"), inputs.busybox("arm64")
    path = directory / "initrd"
    path.write_bytes(initrd(kernel, busybox, modules, FUNCTIONS + prepare + "".join(lines)))
    return path


def ours(ramdisk: Path, options: Sequence[str]) -> Guest:
    """Return our machine, with the devices of ``options``."""
    kernel = str(inputs.linux("arm64", "generic"))
    command = [VMM, "run", "--quiet", "--backend", "unicorn", "--memory", "256M"]
    boot = ["--initrd", str(ramdisk), "--cmdline", "quiet panic=-1"]
    return Guest("vmm, Unicorn", [*command, *boot, *options, kernel])


def qemus(ramdisk: Path, options: Sequence[str]) -> Guest | None:
    """Return QEMU's machine with ``options``, or None after saying that it will be missing."""
    qemu = shutil.which("qemu-system-aarch64")
    if qemu is None:
        print("qemu-system-aarch64 is not installed: no figures of it", file=sys.stderr)
        return None
    kernel = str(inputs.linux("arm64", "generic"))
    boot = ["-kernel", kernel, "-initrd", str(ramdisk), "-append", "quiet panic=-1 console=ttyAMA0"]
    return Guest("QEMU virt, TCG", [qemu, *QEMU_OPTIONS, *boot, *options])


def host_loop(path: Path, section: Section) -> Case:
    """Return the loop of the host that moves as much of a file as ``section``."""

    def loop() -> float:
        fd = os.open(path, os.O_RDWR)
        buffer = bytearray(section.size)
        transfer: Callable[[int, list[bytearray], int], int] = os.preadv
        if section.name.startswith("write"):
            transfer = os.pwritev
        start = time.perf_counter()
        for number in range(section.requests):
            transfer(fd, [buffer], number * section.size)
        took = time.perf_counter() - start
        os.close(fd)
        return took

    return Case(section.name, loop)


def compare(
    guests: Sequence[Guest], sections: Sequence[Section], floors: Sequence[Case], rounds: int
) -> None:
    """Run the guests in turn and print throughput, requests a second, and ratios to the last."""
    for number in range(rounds):
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for guest in guests:
            guest.run()
    print(file=sys.stderr)
    names = [guest.name for guest in guests]
    print(f"{'':14}" + "".join(f"{name + ' MB/s':>22}{'requests/s':>12}" for name in names), end="")
    print(f"{'ratio':>8}{'plain loop MB/s':>18}{'ratio':>8}")
    for section, floor in zip(sections, floors, strict=True):
        times = [min(guest.seconds[section.name]) for guest in guests]
        row = f"{section.name:14}"
        for took in times:
            row += f"{section.requests * section.size / took / 1e6:22.1f}"
            row += f"{section.requests / took:12.0f}"
        row += f"{times[-1] / times[0]:8.2f}" if len(times) > 1 else f"{'':8}"
        loop = floor.measure() / section.requests
        row += f"{section.size / loop / 1e6:18.0f}{loop * section.requests / times[0]:8.3f}"
        print(row)
