"""Kernels of others: from the start of the process to the guest's first output, and to its end.

The same image beside QEMU with the same kind of accelerator, and beside solo5-hvt where that is
given and can run it. Without --image, small kernels of our own that print a line and switch off.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measure import ROOT, Case, print_table, run_rounds
from tests.foreign import images
from tests.vmm.backends.assemble import assemble
from vmm.arch import host_arch
from vmm.images import image as kinds
from vmm.images.recognise import open_image

VMM = str(ROOT / "scripts" / "vmm")
LIMIT = 120.0

X86 = """
    .code32
    mov dx, 0x3f8
    mov al, 0x21
    out dx, al
    mov dx, 0x604
    mov ax, 0x2000
    out dx, ax
    hlt
"""
ARM64 = """
    movz x8, #0x0900, lsl #16
    mov w9, #0x21
    strb w9, [x8]
    movz w0, #0x8400, lsl #16
    movk w0, #8
    hvc #0
"""


class Process:
    """Runs a command again and again.

    Attributes:
        firsts: seconds to the first byte of its output, run by run.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self.firsts: list[float] = []

    def run(self) -> float:
        """Run it once and return the seconds to its end."""
        start = time.perf_counter()
        with subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            output = os.read(process.stdout.fileno(), 1)
            self.firsts.append(time.perf_counter() - start)
            process.stdout.read()
            process.wait(LIMIT)
        if not output:
            sys.exit(f"{' '.join(self._command)}: status {process.returncode}, no output")
        return time.perf_counter() - start


def stand_ins(directory: Path) -> list[Path]:
    """Write the small kernels and return their paths."""
    x86, arm64 = directory / "multiboot", directory / "arm64-elf"
    x86.write_bytes(images.multiboot(assemble("x86_64", X86, images.CODE["multiboot"]).code))
    arm64.write_bytes(images.fixed_elf(assemble("arm64", ARM64, images.CODE["fixed-elf"]).code))
    return [x86, arm64]


def commands(path: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the commands that boot an image, by name: ours first."""
    with open_image(str(path)) as image:
        kind, arch, board = image.kind, image.arch, image.board
    kvm = arch == host_arch() and os.access("/dev/kvm", os.R_OK | os.W_OK)
    backends = {"unicorn": "tcg"} | ({"kvm": "kvm"} if kvm else {})
    found = {}
    for backend in backends:
        extra = ["--cmdline", options.cmdline, "--memory", options.memory]
        extra += ["--initrd", options.initrd] if options.initrd else []
        command = [VMM, "run", "--quiet", "--backend", backend, *extra, str(path)]
        found[f"vmm, {backend}"] = command
    if kind == kinds.SOLO5_HVT:
        if options.solo5_hvt and kvm:
            found["solo5-hvt"] = [options.solo5_hvt, "--mem=64", str(path), options.cmdline]
        return found
    machine = _qemu_machine(kind, arch or "", 2 if board is None else board.gic)
    if machine is None:
        print(f"{path.name}: QEMU does not boot a {kind}", file=sys.stderr)
        return found
    for accelerator in backends.values():
        command = [*machine, "-accel", accelerator, "-m", options.memory, "-kernel", str(path)]
        command += ["-append", options.cmdline] if options.cmdline else []
        command += ["-initrd", options.initrd] if options.initrd else []
        if _can_run(command):
            found[f"QEMU, {accelerator}"] = command
        else:
            print(f"{path.name}: QEMU does not run it with {accelerator} here", file=sys.stderr)
    return found


def _qemu_machine(kind: str, arch: str, gic: int) -> list[str] | None:
    """Return QEMU's command line for a kind of image, or None where it has no loader for it."""
    plain = ["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]
    if arch == "arm64":
        model = f"virt,gic-version={gic or 3}"
        return _if_installed(["qemu-system-aarch64", "-M", model, "-cpu", "max", *plain])
    if kind in (kinds.MULTIBOOT, kinds.PVH, kinds.BZIMAGE):
        exits = ["-device", "isa-debug-exit,iobase=0x501,iosize=2"]
        return _if_installed(["qemu-system-x86_64", "-M", "pc", "-cpu", "max", *plain, *exits])
    return None


def _if_installed(command: list[str]) -> list[str] | None:
    return command if shutil.which(command[0]) else None


def _can_run(command: list[str]) -> bool:
    """Tell whether the guest prints anything and ends there.

    Some hosts' KVM cannot execute all of it, and some images are not for QEMU's boards.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10
        )
    except subprocess.TimeoutExpired:
        return False
    return bool(done.stdout)


def measure(path: Path, options: argparse.Namespace) -> None:
    """Measure and print all there is for one image."""
    processes = {name: Process(command) for name, command in commands(path, options).items()}
    ends = [Case(name, process.run) for name, process in processes.items()]
    run_rounds(ends, options.rounds)
    firsts = [Case(name, process.run, process.firsts[1:]) for name, process in processes.items()]
    for title, cases in (("first output", firsts), ("end", ends)):
        print(f"{path.name}: to its {title}")
        print_table(cases, "ms", 1e3, [c for c in cases if not c.name.startswith("vmm")])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench boot", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--image", action="append", type=Path, default=[])
    parser.add_argument("--initrd", default="")
    parser.add_argument("--cmdline", default="")
    parser.add_argument("--memory", default="64M")
    parser.add_argument("--solo5-hvt", default="", help="the tender that Solo5's tree builds")
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for path in options.image or stand_ins(Path(directory)):
            measure(path, options)


if __name__ == "__main__":
    main()
