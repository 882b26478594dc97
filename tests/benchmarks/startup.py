"""Start-up: the whole process of `vmm run hello`, beside its peers and floors.

Also, inside one running process: making a machine, running it to the guest's first output or to its
end, dropping it; and the memory of an idle `vmm run`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

from scripts import inputs
from tests.benchmarks.measure import (
    HERE,
    ROOT,
    Case,
    compile_c,
    find_qemu,
    idle_memory,
    print_table,
    process_time,
    run_rounds,
)
from vmm import Machine
from vmm.arch import host_arch

VMM = str(ROOT / "scripts" / "vmm")
GREETING = b"Hello from"
QEMU_OPTIONS = (
    "-M microvm,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=on -m 64 -nodefaults"
    " -no-user-config -display none -serial stdio -no-reboot"
    " -device isa-debug-exit,iobase=0xf4,iosize=0x4"
).split()
QEMU_STATUS = 1  # isa-debug-exit turns 0 into 1


def _have_kvm() -> bool:
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def _backends() -> list[tuple[str, str]]:
    pairs = [("unicorn", "x86_64"), ("unicorn", "arm64")]
    host = host_arch()
    return [("kvm", host), *pairs] if host and _have_kvm() else pairs


def _whole_processes() -> tuple[list[Case], list[Case]]:
    cases = [Case("python -c pass", process_time([sys.executable, "-c", "pass"], b""))]
    peers = []
    for backend, arch in _backends():
        command = [VMM, "run", "--quiet", "--backend", backend, "--arch", arch, "hello"]
        cases.append(Case(f"vmm run, {backend} {arch}", process_time(command, GREETING)))
    if _have_kvm() and host_arch() == "x86_64":
        floor = compile_c(HERE / "startup_floor.c", "-O2", "-target", "x86_64-linux-musl")
        cases.append(Case("C floor of KVM", process_time([str(floor)], b"A")))
    qemu = find_qemu()
    if qemu:
        script = f"-Wl,-T,{HERE / 'startup_guest.ld'}"
        guest = compile_c(
            HERE / "startup_guest.S", "-target", "x86-freestanding-none", "-nostdlib", script
        )
        for accelerator in ("tcg", "kvm") if _have_kvm() else ("tcg",):
            command = [qemu, *QEMU_OPTIONS, "-accel", accelerator, "-kernel", str(guest)]
            measure = process_time(command, GREETING, QEMU_STATUS)
            peers.append(Case(f"QEMU microvm {accelerator}", measure))
    return cases + peers, peers


def _to_first_output(machine: Machine) -> None:
    machine.console.expect(GREETING)


def _to_its_end(machine: Machine) -> None:
    machine.run(timeout=10)
    if GREETING not in machine.console.output:
        sys.exit(f"hello printed {machine.console.output!r}")


def _inside_process(backend: str, arch: str, run: Callable[[Machine], None]) -> Callable[[], float]:
    def measure() -> float:
        start = time.perf_counter()
        with Machine("hello", arch=arch, backend=backend) as machine:
            run(machine)
        return time.perf_counter() - start

    return measure


def _memory() -> None:
    print("\nresident memory of an idle guest (MiB)")
    for backend, arch in _backends():
        waits = [str(inputs.busybox(arch)), "cat"]
        command = [VMM, "run", "--quiet", "--backend", backend, *waits]
        print(f"  vmm run, {backend} {arch:7} {idle_memory(command):6.1f}")
    qemu = find_qemu()
    if qemu:
        for accelerator in ("tcg", "kvm") if _have_kvm() else ("tcg",):
            # Without a kernel the firmware finds nothing to boot and halts.
            command = [qemu, *QEMU_OPTIONS, "-accel", accelerator]
            print(f"  QEMU microvm {accelerator:12} {idle_memory(command):6.1f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    cases, peers = _whole_processes()
    run_rounds(cases, rounds)
    print("whole process, to its end")
    print_table(cases, "ms", 1e3, peers)
    ways = {"to first output": _to_first_output, "to its end": _to_its_end}
    inside = [
        Case(f"{b} {a}, {name}", _inside_process(b, a, run))
        for b, a in _backends()
        for name, run in ways.items()
    ]
    run_rounds(inside, rounds)
    print("\ninside a running process: make a machine, run hello, drop it")
    print_table(inside, "ms", 1e3, [])
    _memory()


if __name__ == "__main__":
    main()
