"""The same Linux and the same work in our machine and in one of QEMU, turn by turn.

Both are booted once and then wait at their consoles. Each round lets one of them execute a command,
then the other, and times them here: guests' clocks are not compared, and what else loads the host
meets both alike.
"""

from __future__ import annotations

import argparse
import lzma
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from scripts import inputs
from tests.benchmarks.measure import CACHE, ROOT, Case
from tests.foreign.linux import initrd

VMM = str(ROOT / "scripts" / "vmm")

# Machines like ours: memory-mapped virtio, no PCI, one processor.
QEMU_COMMANDS = {
    ("x86_64", "unicorn"): "qemu-system-x86_64 -M microvm -accel tcg -cpu qemu64",
    ("x86_64", "kvm"): "qemu-system-x86_64 -M microvm -accel kvm -cpu host",
    ("arm64", "unicorn"): "qemu-system-aarch64 -M virt -accel tcg -cpu cortex-a72",
    ("arm64", "kvm"): "qemu-system-aarch64 -M virt,gic-version=host -accel kvm -cpu host",
}
QEMU_OPTIONS = (
    "-smp 1 -m 256 -nodefaults -no-user-config -no-reboot -display none -serial stdio"
    " -global virtio-mmio.force-legacy=false"
).split()
SERIAL_PORTS = {"x86_64": "ttyS0", "arm64": "ttyAMA0"}
# Linux for x86_64 measures clocks by others, hangs where a loaded host disturbs that in QEMU's
# emulation, and does not where it is told the frequency. Nothing here is timed by the guest.
UNCALIBRATED = " tsc_early_khz=2000000"

# Ends a script: executes the lines of the console, and tells the status of each.
SERVE = """
echo ready
while read -r line; do sh -c "$line" >/dev/null 2>&1; echo "end $?"; done
"""


@dataclass(frozen=True)
class Setting:
    """What is compared: the guest's architecture, and what executes it."""

    arch: str
    backend: str

    @property
    def kernel(self) -> Path:
        """Debian's kernel with all modules."""
        return inputs.linux(self.arch, "generic")


@dataclass(frozen=True)
class Section:
    """One piece of work.

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
    """A running guest.

    Attributes:
        name: for the table.
        command: starts it, with its console on standard input and output.
        seconds: what each section took, round by round.
    """

    name: str
    command: list[str]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def boot(self) -> None:
        """Start it and wait until it is ready."""
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._expect("ready")

    def execute(self, section: Section) -> float:
        """Let it do the work and return the seconds that it took."""
        assert self._process.stdin is not None
        start = perf_counter()
        self._process.stdin.write(section.command + "\n")
        self._process.stdin.flush()
        self._expect("end 0")
        return perf_counter() - start

    def stop(self) -> None:
        """End it; harmless when it was not started."""
        if hasattr(self, "_process"):
            self._process.kill()
            self._process.wait()

    def _expect(self, wanted: str) -> None:
        printed = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            printed.append(line)
            if line.strip() == wanted:
                return
            if line.startswith("end "):
                break
        sys.exit(f"{self.name} did not say {wanted!r}:\n" + "".join(printed[-20:]))


def parser(name: str, document: str, rounds: int) -> argparse.ArgumentParser:
    """Return a parser of the options that these benchmarks share."""
    made = argparse.ArgumentParser(prog=f"scripts/bench {name}", description=document)
    made.add_argument("--rounds", type=int, default=rounds, help="turns of each guest")
    made.add_argument("--arch", choices=("x86_64", "arm64"), default="x86_64", help="the guest's")
    made.add_argument("--backend", choices=("unicorn", "kvm"), default="unicorn")
    return made


def build(
    directory: Path,
    setting: Setting,
    modules: list[str],
    prepare: str,
    programs: Sequence[Path] = (),
) -> Path:
    """Write an initramfs whose init waits for commands once it is prepared, and return it."""
    busybox = inputs.busybox(setting.arch)
    path = directory / "initrd"
    script = prepare + SERVE
    path.write_bytes(initrd(setting.kernel, busybox, modules, script, programs=programs))
    return path


def ours(setting: Setting, ramdisk: Path, options: Sequence[str], *, packed: bool = False) -> Guest:
    """Return our machine, with the devices of ``options``, over packed virtqueues if told."""
    kernel = str(_unpacked(setting.kernel))
    command = [VMM, "run", "--quiet", "--backend", setting.backend, "--memory", "256M"]
    boot = ["--initrd", str(ramdisk), "--cmdline", "quiet panic=-1"]
    name = {"unicorn": "Unicorn", "kvm": "KVM"}[setting.backend]
    if packed:
        return Guest(f"packed, {name}", [*command, *boot, "--board", "packed", *options, kernel])
    return Guest(f"vmm, {name}", [*command, *boot, *options, kernel])


def qemus(setting: Setting, ramdisk: Path, options: Sequence[str]) -> list[Guest]:
    """Return QEMU's machine with ``options``, or nothing after saying that it will be missing."""
    program, *machine = QEMU_COMMANDS[setting.arch, setting.backend].split()
    qemu = shutil.which(program)
    if qemu is None:
        print(f"{program} is not installed: no figures of it", file=sys.stderr)
        return []
    command = [qemu, *machine, *QEMU_OPTIONS]
    boot = ["-kernel", str(setting.kernel), "-initrd", str(ramdisk)]
    line = f"quiet panic=-1 console={SERIAL_PORTS[setting.arch]}"
    if setting.backend == "unicorn":
        line += UNCALIBRATED
    name = f"QEMU {machine[1].partition(',')[0]}, {machine[3].upper()}"
    return [Guest(name, [*command, *boot, "-append", line, *options])]


def _unpacked(kernel: Path) -> Path:
    """Return the ELF file inside of Debian's bzImage, other images as they are.

    Unpacking it takes Unicorn a quarter of a minute.
    """
    image = kernel.read_bytes()
    if image[0x202:0x206] != b"HdrS":
        return kernel
    unpacked = CACHE / kernel.name.replace("vmlinuz", "vmlinux")
    if not unpacked.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        # Linux's boot protocol: setup_sects, payload_offset, and the length with its own at the end
        start = 512 * (1 + image[0x1F1]) + int.from_bytes(image[0x248:0x24C], "little")
        length = int.from_bytes(image[0x24C:0x250], "little") - 4
        unpacked.write_bytes(lzma.decompress(image[start : start + length]))
    return unpacked


def host_loop(path: Path, section: Section) -> Case:
    """Return the loop of the host that moves as much of a file as ``section``."""

    def loop() -> float:
        fd = os.open(path, os.O_RDWR)
        buffer = bytearray(section.size)
        transfer: Callable[[int, list[bytearray], int], int] = os.preadv
        if section.name.startswith("write"):
            transfer = os.pwritev
        start = perf_counter()
        for number in range(section.requests):
            transfer(fd, [buffer], number * section.size)
        took = perf_counter() - start
        os.close(fd)
        return took

    return Case(section.name, loop)


def compare(
    guests: Sequence[Guest], sections: Sequence[Section], floors: Sequence[Case], rounds: int
) -> None:
    """Run all in turn; print throughput, requests a second, and ratios to the last guest."""
    try:
        for guest in guests:
            guest.boot()
        for number in range(rounds + 1):
            print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
            for section, floor in zip(sections, floors, strict=True):
                figures = [(guest.seconds, guest.execute(section)) for guest in guests]
                if not number:
                    continue  # translations and caches are cold
                floor.figures.append(floor.measure())
                for seconds, took in figures:
                    seconds.setdefault(section.name, []).append(took)
    finally:
        for guest in guests:
            guest.stop()
    print(file=sys.stderr)
    _print_table(guests, sections, floors)


def _print_table(
    guests: Sequence[Guest], sections: Sequence[Section], floors: Sequence[Case]
) -> None:
    names = [guest.name for guest in guests]
    print(f"{'':14}" + "".join(f"{name + ' MB/s':>24}{'requests/s':>12}" for name in names), end="")
    print(f"{'ratio':>8}{'plain loop MB/s':>18}{'ratio':>8}")
    for section, floor in zip(sections, floors, strict=True):
        times = [guest.seconds[section.name] for guest in guests]
        row = f"{section.name:14}"
        for took in map(statistics.median, times):
            row += f"{section.requests * section.size / took / 1e6:24.1f}"
            row += f"{section.requests / took:12.0f}"
        row += f"{_ratio(times[-1], times[0]):8.2f}" if len(times) > 1 else f"{'':8}"
        row += f"{section.requests * section.size / floor.median / 1e6:18.0f}"
        print(row + f"{_ratio(floor.figures, times[0]):8.3f}")


def _ratio(peer: Sequence[float], own: Sequence[float]) -> float:
    """Return how much faster ``own`` is, as the median of rounds."""
    return statistics.median(theirs / mine for theirs, mine in zip(peer, own, strict=True))
