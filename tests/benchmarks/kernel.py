"""The guest kernel: its size, its need of memory, and the instructions that its operations take.

Instructions are counted by the Unicorn backend, so they are exact and the same on every host; those
of the program's loop around an operation are among them. Threads are not preempted, for interrupts
come at times that differ. Beside them, with `--unikraft DIR`, is
what Unikraft's images built below that directory take from their entry to `main`: files that have
their symbols beside them in one of the same name with `.dbg`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from elftools.elf.elffile import ELFFile

from tests.benchmarks.measure import HERE, ROOT, compile_c
from vmm import Machine, UsageError
from vmm.arch import ARCHITECTURES
from vmm.backends.unicorn.engine import HOOK_CODE

TARGETS = {"x86_64": "x86_64-linux-musl", "arm64": "aarch64-linux-musl"}
MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "arm64"}

KIB, MIB = 1 << 10, 1 << 20
PAGE = 4096
TIMEOUT = 120.0

SIZE_GOAL = 400 * KIB
MEMORY_GOAL = 2 * MIB
BOOT_GOAL = 150_000
BOOT_MEMORY = 64 * MIB
LARGE_MEMORY = 64 << 30

# What is counted, how it is called in kernel_operations.c, and how often it is done.
OPERATIONS = (
    ("null system call (getppid)", "null", 1000),
    ("context switch (sched_yield)", "switch", 1000),
    ("the same among 200 sleeping threads", "switch-among", 1000),
    ("timed wait among 200 others", "timed-wait", 100),
    ("page fault (anonymous memory)", "fault", 1000),
    ("thread created and joined", "thread", 200),
)


CMDLINE = "sched.preempt=0"


class NotCounted(Exception):
    """The place to which instructions were to be counted was never reached."""


def count_to(machine: Machine, address: int) -> int:
    """Run a machine on Unicorn to its end; return the instructions before that at ``address``."""
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
            raise NotCounted
        # The counter's own hook comes first and has counted that instruction, too.
        return reached[0] - 1


def count_run(program: Path, arch: str, *words: str) -> int:
    """Return the instructions of a whole machine with one program."""
    options = {"arch": arch, "backend": "unicorn", "memory": BOOT_MEMORY, "cmdline": CMDLINE}
    with (
        Machine(program, words, **options) as machine,  # type: ignore[arg-type]
        machine.vcpu.count_instructions() as counter,  # type: ignore[attr-defined]
    ):
        status = machine.run(timeout=TIMEOUT)
        if status != 0:
            sys.exit(f"{program.name} {' '.join(words)} on {arch}: status {status}")
        return int(counter.value)


def count_operation(program: Path, arch: str, name: str, times: int) -> float:
    """Return what doing an operation twice as often adds to the instructions, per operation."""
    once = count_run(program, arch, name, str(times))
    return (count_run(program, arch, name, str(2 * times)) - once) / times


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


def boot_instructions(arch: str, memory: int = BOOT_MEMORY) -> int:
    """Return the instructions from the kernel's entry to the first of `hello`."""
    hello = ROOT / f"vmm/artifacts/programs/{arch}/hello"
    with hello.open("rb") as file:
        entry = ELFFile(file).header["e_entry"]
    with Machine("hello", arch=arch, backend="unicorn", memory=memory) as machine:
        return count_to(machine, entry)


def report(arch: str) -> None:
    """Print all figures of one architecture."""
    flags = ["-static", "-O2", "-std=gnu11", "-fno-sanitize=all"]
    operations = HERE / "kernel_operations.c"
    program = compile_c(operations, "-target", TARGETS[arch], *flags, arch=arch)
    print(f"\n{arch}")
    size = stripped_size(image(arch))
    row("kernel image, stripped", f"{size / KIB:.0f} KiB", size, SIZE_GOAL)
    memory = smallest_memory(arch)
    row("least RAM for hello", f"{memory / KIB:.0f} KiB", memory, MEMORY_GOAL)
    boot = boot_instructions(arch)
    row("instructions to the program's first", f"{boot}", boot, BOOT_GOAL)
    row("the same with 64 GiB of RAM", f"{boot_instructions(arch, LARGE_MEMORY)}")
    for title, name, times in OPERATIONS:
        row(title, f"{count_operation(program, arch, name, times):.0f}")


def row(title: str, figure: str, value: float = 0, goal: float = 0) -> None:
    """Print one line, with the ratio to a goal where there is one."""
    ratio = f"  {value / goal:5.2f} of the goal" if goal else ""
    print(f"  {title:38} {figure:>10}{ratio}", flush=True)


def report_unikraft(directory: Path) -> None:
    """Print how many instructions kernels of others take to their `main`."""
    print(f"\nUnikraft, instructions from its entry to main, {BOOT_MEMORY // MIB} MiB")
    for symbols in sorted(directory.rglob("*.dbg")):
        image = symbols.with_suffix("")
        with symbols.open("rb") as file:
            elf = ELFFile(file)
            arch = MACHINES[elf["e_machine"]]
            (entry,) = elf.get_section_by_name(".symtab").get_symbol_by_name("main")
        with Machine(image, backend="unicorn", memory=BOOT_MEMORY) as machine:
            try:
                figure = str(count_to(machine, entry["st_value"]))
            except NotCounted:
                figure = "not reached"
        row(f"{image.name} ({arch})", figure)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench kernel", description=__doc__)
    parser.add_argument("--arch", choices=ARCHITECTURES, action="append", help="default: both")
    parser.add_argument("--unikraft", type=Path, metavar="DIR", help="its builds")
    options = parser.parse_args()
    for arch in options.arch or ARCHITECTURES:
        report(arch)
    if options.unikraft is not None:
        report_unikraft(options.unikraft)


if __name__ == "__main__":
    main()
