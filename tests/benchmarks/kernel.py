"""The guest kernel: its size, its need of memory, and the instructions that its operations take.

Instructions are counted by the Unicorn backend, so they are exact and the same on every host; those
of the program's loop around an operation are among them. With `--unikraft DIR` those of Unikraft's
stand beside them, where DIR has images that do the same operations (`marks.py` tells how anybody
can build them); and what images of Unikraft below DIR take from their entry to `main`: all that
have their symbols beside them in a file of the same name with `.dbg`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from elftools.elf.elffile import ELFFile

from tests.benchmarks.marks import (
    MEMORY,
    TIMEOUT,
    NotCounted,
    Peer,
    add_peer_option,
    compile_program,
    count_ours,
)
from tests.benchmarks.measure import ROOT
from vmm import Machine, UsageError
from vmm.arch import ARCHITECTURES
from vmm.backends.unicorn.engine import HOOK_CODE

MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "arm64"}

KIB, MIB = 1 << 10, 1 << 20
PAGE = 4096

SIZE_GOAL = 400 * KIB
MEMORY_GOAL = 2 * MIB
BOOT_GOAL = 150_000
LARGE_MEMORY = 64 << 30

# What is counted, how it is called in kernel_operations.c, and how often it is done.
OPERATIONS = (
    ("null system call (getppid)", "null", 1000),
    ("context switch (sched_yield)", "switch", 1000),
    ("the same among 200 sleeping threads", "switch-among", 1000),
    ("timed wait among 200 others", "timed-wait", 100),
    ("page fault (anonymous memory)", "fault", 1000),
    ("thread created and joined", "thread", 200),
    ("the same with a stack of its own", "thread-stack", 200),
)


def count_to(machine: Machine, address: int) -> int:
    """Run a machine on Unicorn to its end; return the instructions before that at ``address``.

    Raises:
        NotCounted: if it never came there.
    """
    vcpu = machine.vcpu
    engine = vcpu._engine  # type: ignore[attr-defined]
    reached: list[int] = []
    with vcpu.count_instructions() as counter:  # type: ignore[attr-defined]

        def arrive(*_: object) -> None:
            if not reached:
                reached.append(counter.value)

        callback = engine.callback("uc_cb_hookblock_t", arrive)
        engine.add_hook(HOOK_CODE, callback, begin=address, end=address)
        machine.run(timeout=TIMEOUT)
        if not reached:
            raise NotCounted("not reached")
        # The counter's own hook comes first and has counted that instruction, too.
        return reached[0] - 1


def image(arch: str) -> Path:
    """Return the kernel's file."""
    return ROOT / f"vmm/artifacts/kernel-{arch}.elf"


def stripped_size(kernel: Path) -> int:
    """Return the length of an ELF file without symbols and what else is not loaded."""
    with kernel.open("rb") as file:
        segments = ELFFile(file).iter_segments("PT_LOAD")
        return max(segment["p_offset"] + segment["p_filesz"] for segment in segments)


def runs_in(arch: str, memory: int) -> bool:
    """Tell whether `hello` runs in so much RAM."""
    try:
        with Machine("hello", arch=arch, backend="unicorn", memory=memory) as machine:
            return machine.run(timeout=TIMEOUT) == 0 and b"Hello" in machine.console.output
    except UsageError:  # the kernel and the program alone are larger
        return False


def smallest_memory(arch: str) -> int:
    """Return the least RAM in which `hello` runs, to the page."""
    low, high = MIB // PAGE - 1, 4 * MIB // PAGE
    while high - low > 1:
        middle = (low + high) // 2
        if middle * PAGE >= MIB and runs_in(arch, middle * PAGE):
            high = middle
        else:
            low = middle
    return high * PAGE


def boot_instructions(arch: str, memory: int = MEMORY) -> int:
    """Return the instructions from the kernel's entry to the first of `hello`."""
    hello = ROOT / f"vmm/artifacts/programs/{arch}/hello"
    with hello.open("rb") as file:
        entry = ELFFile(file).header["e_entry"]
    with Machine("hello", arch=arch, backend="unicorn", memory=memory) as machine:
        return count_to(machine, entry)


def report(arch: str, peer: Peer) -> None:
    """Print all figures of one architecture."""
    print(f"\n{arch:40} {'Calypso':>10}")
    size = stripped_size(image(arch))
    row("kernel image, stripped", f"{size / KIB:.0f} KiB", size, SIZE_GOAL)
    memory = smallest_memory(arch)
    row("least RAM for hello", f"{memory / KIB:.0f} KiB", memory, MEMORY_GOAL)
    boot = boot_instructions(arch)
    row("instructions to the program's first", f"{boot}", boot, BOOT_GOAL)
    row("the same with 64 GiB of RAM", f"{boot_instructions(arch, LARGE_MEMORY)}")

    print(f"  {'instructions of':38} {'Calypso':>10} {'Unikraft':>12} {'ratio':>7}")
    program = compile_program("kernel_operations.c", arch)
    for title, name, times in OPERATIONS:
        ours = count_ours(program, arch, name, str(times))
        for way in peer.ways(name):
            shown = title if way == name else "  its system call by a trap there"
            print(f"  {shown:38} {ours:10.0f} {peer.columns(way, ours)}", flush=True)


def row(title: str, figure: str, value: float = 0, goal: float = 0) -> None:
    """Print one line, with the ratio to a goal where there is one."""
    ratio = f"  {value / goal:5.2f} of the goal" if goal else ""
    print(f"  {title:38} {figure:>10}{ratio}", flush=True)


def report_unikraft(directory: Path) -> None:
    """Print how many instructions kernels of others take to their `main`."""
    print(f"\nUnikraft, instructions from its entry to main, {MEMORY // MIB} MiB")
    for symbols in sorted(directory.rglob("*.dbg")):
        image = symbols.with_suffix("")
        with symbols.open("rb") as file:
            elf = ELFFile(file)
            arch = MACHINES[elf["e_machine"]]
            (entry,) = elf.get_section_by_name(".symtab").get_symbol_by_name("main")
        with Machine(image, backend="unicorn", memory=MEMORY) as machine:
            try:
                figure = str(count_to(machine, entry["st_value"]))
            except NotCounted as error:
                figure = str(error)
        row(f"{image.name} ({arch})", figure)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench kernel", description=__doc__)
    parser.add_argument("--arch", choices=ARCHITECTURES, action="append", help="default: both")
    add_peer_option(parser)
    options = parser.parse_args()
    try:
        for arch in options.arch or ARCHITECTURES:
            report(arch, Peer(options.unikraft, arch))
    except NotCounted as error:
        sys.exit(f"not counted: {error}")
    if options.unikraft is not None:
        report_unikraft(options.unikraft)


if __name__ == "__main__":
    main()
