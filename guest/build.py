"""Builds the guest: kernels, firmware and bundled programs, for every architecture.

    python guest/build.py [--out DIR] [--jobs N] [--verbose] [--stack-guards BELOW,ABOVE]
                          [--poll-yield]

The compiler and linker are those of the `ziglang` package; nothing else is needed. Products:

    kernel-ARCH.elf          from arch/ARCH/ and `KERNEL_DIRECTORIES`
    entry-arm64.bin          from ../firmware/arm64/entry.S
    syscalls.def             a copy of process/syscalls.def
    programs/ARCH/NAME       a static Linux program for each programs/NAME.c, linked with
                             programs/runtime/*.[cS] and programs/runtime/ARCH/*.[cS]

A kernel is optimized as a whole: C files become bitcode, the linker merges that of one kernel and
optimizes it, and the result is compiled and linked with what was assembled. Every boot on an
emulator is then an eighth shorter, for fewer calls are fewer blocks to be translated.

What is built again is decided by content: each object remembers a hash of its command and of every
file that it was made from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

GUEST = Path(__file__).resolve().parent
ROOT = GUEST.parent
OBJECTS = ROOT / "build/guest"

# The lower half does not know what runs on it; see `program_start` in <calypso/arch.h>.
LOWER_HALF = tuple(GUEST / name for name in ("kernel", "mm", "lib", "drivers"))
UPPER_HALF = tuple(GUEST / name for name in ("file", "net", "process", "service"))
KERNEL_DIRECTORIES = LOWER_HALF + UPPER_HALF

# Both kernels and bundled programs do without a C library.
COMMON_FLAGS = (
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-strict-aliasing",
    "-ffunction-sections",
    "-fdata-sections",
    "-fvisibility=hidden",
    "-nostdinc",
)
# Frame pointers make backtraces; leaf functions need none.
KERNEL_FLAGS = (
    "-mgeneral-regs-only",
    "-fno-omit-frame-pointer",
    "-momit-leaf-frame-pointer",
)
# A loop that is not unrolled is one block to an emulator.
BITCODE_FLAGS = ("-flto", "-fno-unroll-loops")
MERGE_FLAGS = (
    "--lto-emit-llvm",
    # Functions from other files are worth a copy if they are this small; the default, 225, makes
    # the kernel a fifth larger and no faster.
    *("-mllvm", "-inline-threshold=50"),
)
# All but code generation has been done.
GENERATE_FLAGS = (
    "-O2",
    "-ffunction-sections",
    "-fdata-sections",
    *("-Xclang", "-disable-llvm-passes"),
    # A condition of several parts is one branch, which ends one block.
    *("-mllvm", "-jump-is-expensive"),
)
# A function with an array in its frame, or the address of something there, checks a guard behind it
# before it returns (kernel/stack_guard.c).
STACK_PROTECTOR = ("-fstack-protector-strong", "-mstack-protector-guard=global")
# Not so what every boot, page fault, system call or switch of threads goes through. It handles no
# bytes of others, and has few arrays; mostly it hands out the addresses of single variables.
UNPROTECTED = tuple(
    GUEST / name
    for name in (
        *("arch", "mm", "kernel/time.c"),
        *("process/scheduler.c", "process/syscall.c", "process/thread.c", "process/timeout.c"),
        "process/calls/transfer.c",
    )
)
# Pages below and above each stack that are never mapped.
STACK_GUARDS = (1, 1)
LINK_FLAGS = ("--build-id=none", "--gc-sections", "-z", "max-page-size=4096", "-z", "noexecstack")


@dataclass(frozen=True)
class Architecture:
    """What the build must know of an architecture.

    Attributes:
        name: as in arch/NAME and in the names of products.
        target: the compiler's name for it, without an operating system.
        kernel_physical: where the VMM loads the kernel.
        direct_map: distance of the kernel's virtual addresses from physical ones
            (DIRECT_MAP_BASE in arch/NAME/include/arch/layout.h).
        flags: of the compiler, for kernel and programs.
        kernel_flags: besides, for the kernel.
    """

    name: str
    target: str
    kernel_physical: int
    direct_map: int
    flags: tuple[str, ...] = ()
    kernel_flags: tuple[str, ...] = ()


ARCHITECTURES = (
    Architecture(
        "x86_64",
        "x86_64-unknown-none-elf",
        kernel_physical=0x10_0000,
        direct_map=0xFFFF_9000_0000_0000,
        # Position-independent code reaches everything relative to the program counter, so the
        # kernel need not be in the highest 2 GiB.
        kernel_flags=("-fpie", "-fdirect-access-external-data", "-mno-red-zone"),
    ),
    Architecture(
        "arm64",
        "aarch64-unknown-none-elf",
        kernel_physical=0x4008_0000,
        direct_map=0xFFFF_0000_0000_0000,
        flags=("-mno-outline-atomics",),
    ),
)


class BuildError(Exception):
    """A command failed; the message is what it printed."""


@dataclass
class Step:
    """One command that makes one file.

    Attributes:
        command: with the output's name in it.
        output: what it makes.
        inputs: what it reads, as far as known before it has run.
        dependencies: a file in which the compiler lists what it has read.
        after: steps whose outputs are among the inputs.
    """

    command: list[str]
    output: Path
    inputs: list[Path]
    dependencies: Path | None = None
    after: list[Step] = field(default_factory=list)


@cache
def zig() -> str:
    """Return the path of the compiler."""
    try:
        import ziglang
    except ImportError:
        raise BuildError(
            "guest/build.py needs the package `ziglang`: pip install ziglang"
        ) from None
    return str(Path(ziglang.__file__).parent / "zig")


def compiler_include() -> str:
    """Return the directory of the compiler's own headers, such as <stdint.h>."""
    return str(Path(zig()).parent / "lib/include")


def relative(path: Path) -> str:
    """Return a path for people."""
    return os.path.relpath(path, ROOT)


def compile_step(source: Path, variant: str, target: str, flags: tuple[str, ...]) -> Step:
    """Return the step that compiles ``source``; ``variant`` keeps objects of one source apart."""
    output = OBJECTS / variant / Path(relative(source)).with_suffix(source.suffix + ".o")
    dependencies = output.with_suffix(".d")
    command = [
        *(zig(), "clang", f"--target={target}", *COMMON_FLAGS, *flags),
        *("-isystem", compiler_include()),
        *("-MD", "-MF", str(dependencies), "-c", relative(source), "-o", str(output)),
    ]
    return Step(command, output, [source], dependencies)


def sources(directory: Path, *, deep: bool = True) -> list[Path]:
    """Return the C and assembly files of a directory."""
    found = directory.rglob("*") if deep else directory.glob("*")
    return sorted(path for path in found if path.suffix in (".c", ".S"))


def protector_of(source: Path) -> tuple[str, ...]:
    """Return the flags by which a file of the kernel is protected from overruns of its arrays."""
    unprotected = any(path == source or path in source.parents for path in UNPROTECTED)
    return () if unprotected else STACK_PROTECTOR


def kernel_steps(
    arch: Architecture,
    output: Path,
    directories: Sequence[Path] = KERNEL_DIRECTORIES,
    guards: tuple[int, int] = STACK_GUARDS,
    poll_yield: bool = False,
) -> list[Step]:
    """Return the steps that make a kernel from the architecture's directory and these.

    ``guards`` are the numbers of guard pages below and above a stack. ``poll_yield``: calls that
    poll let other threads run first, unless the command line says ``poll.yield=0``.
    """
    flags = kernel_flags(arch, guards, poll_yield)
    variant = f"kernel-{arch.name}"
    compiled, assembled = [], []
    for directory in (GUEST / "arch" / arch.name, *directories):
        for source in sources(directory):
            if source.suffix == ".c":
                of_c = (*flags, *protector_of(source), *BITCODE_FLAGS)
                compiled.append(compile_step(source, variant, arch.target, of_c))
            else:
                assembled.append(compile_step(source, variant, arch.target, flags))
    return [*compiled, *assembled, *link_steps(arch, output, compiled, assembled, guards)]


def kernel_flags(arch: Architecture, guards: tuple[int, int], poll_yield: bool) -> tuple[str, ...]:
    """Return the flags by which all files of a kernel are compiled."""
    below, above = guards
    return (
        *(f"-DSTACK_GUARDS_BELOW={below}", f"-DSTACK_GUARDS_ABOVE={above}"),
        f"-DPOLL_YIELD={int(poll_yield)}",
        *KERNEL_FLAGS,
        *arch.flags,
        *arch.kernel_flags,
        *("-I", "guest", "-I", "guest/include", "-I", "guest/include/freestanding"),
        *("-I", f"guest/arch/{arch.name}/include"),
    )


def link_steps(
    arch: Architecture,
    output: Path,
    compiled: list[Step],
    assembled: list[Step],
    guards: tuple[int, int],
) -> list[Step]:
    """Return the steps that make a kernel of what was compiled to bitcode, and assembled."""
    below, above = guards
    script = GUEST / "kernel.ld"
    link = (
        *(zig(), "ld.lld", *LINK_FLAGS, "--orphan-handling=error", "-T", str(script)),
        f"--defsym=KERNEL_PHYSICAL={arch.kernel_physical:#x}",
        f"--defsym=DIRECT_MAP_BASE={arch.direct_map:#x}",
        *(f"--defsym=STACK_GUARDS_BELOW={below}", f"--defsym=STACK_GUARDS_ABOVE={above}"),
    )
    # The linker knows what is called from assembly, and so what may be changed or left out.
    bitcode = OBJECTS / f"kernel-{arch.name}" / f"{output.stem}.bc"
    merge = combine(bitcode, [*link, *MERGE_FLAGS], [*compiled, *assembled], script)
    generate = combine(
        bitcode.with_suffix(".o"),
        [
            *(zig(), "clang", f"--target={arch.target}", *GENERATE_FLAGS),
            *(*KERNEL_FLAGS, *arch.flags, *arch.kernel_flags, "-c", "-x", "ir"),
        ],
        [merge],
    )
    # Vectors reach what is assembled by short branches: it comes next to them.
    final = combine(output, [*link], [*assembled, generate], script)
    return [merge, generate, final]


def combine(output: Path, command: list[str], parts: list[Step], *others: Path) -> Step:
    """Return the step that makes ``output`` by ``command`` from what the ``parts`` make."""
    inputs = [part.output for part in parts]
    command = [*command, "-o", str(output), *map(str, inputs)]
    return Step(command, output, [*others, *inputs], after=parts)


def firmware_steps(out: Path) -> list[Step]:
    """Return the steps that make arm64's first instructions, a flat binary."""
    source = ROOT / "firmware/arm64/entry.S"
    arm64 = ARCHITECTURES[1]
    entry = compile_step(source, "firmware-arm64", arm64.target, ())
    output = out / "entry-arm64.bin"
    command = [
        *(zig(), "ld.lld", "--oformat=binary", "--image-base=0", "-Ttext=0"),
        *("-o", str(output), str(entry.output)),
    ]
    return [entry, Step(command, output, [entry.output], after=[entry])]


def table_step(out: Path) -> Step:
    """Return the step that lets the VMM know the numbers of system calls."""
    source = GUEST / "process/syscalls.def"
    output = out / source.name
    return Step(["cp", str(source), str(output)], output, [source])


def program_steps(arch: Architecture, out: Path) -> list[Step]:
    """Return the steps that make the bundled programs."""
    programs = GUEST / "programs"
    runtime_directory = programs / "runtime"
    flags = (*arch.flags, "-fno-pic", "-I", "guest/programs/runtime")
    variant = f"programs-{arch.name}"

    def compile_program(source: Path) -> Step:
        return compile_step(source, variant, arch.target, flags)

    shared = [
        compile_program(source)
        for directory in (runtime_directory, runtime_directory / arch.name)
        for source in sources(directory, deep=False)
    ]
    steps = list(shared)
    for source in sources(programs, deep=False):
        main = compile_program(source)
        objects = [main, *shared]
        output = out / "programs" / arch.name / source.stem
        command = [
            *(zig(), "ld.lld", *LINK_FLAGS, "-static", "-o", str(output)),
            *(str(step.output) for step in objects),
        ]
        steps += [main, Step(command, output, [s.output for s in objects], after=objects)]
    return steps


def listed_dependencies(path: Path) -> list[Path]:
    """Return what a compiler's dependency file (a make rule) says was read.

    Blanks and number signs in names have a backslash in front, dollar signs are doubled.
    """
    words = re.findall(r"(?:\\[ #]|\S)+", path.read_text().replace("\\\n", " "))
    names = [re.sub(r"\\([ #])", r"\1", word).replace("$$", "$") for word in words]
    return [ROOT / name for name in names[1:]]


class Builder:
    """Runs the steps that are needed, several at once.

    Attributes:
        ran: how many steps were run.
    """

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose
        self._state_file = OBJECTS / "state.json"
        self._state: dict[str, dict[str, object]] = self._load()
        self._digests: dict[Path, str] = {}
        self.ran = 0

    def _load(self) -> dict[str, dict[str, object]]:
        try:
            state = json.loads(self._state_file.read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def save(self) -> None:
        """Remember what was made from what."""
        OBJECTS.mkdir(parents=True, exist_ok=True)
        temporary = self._state_file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(self._state))
        temporary.replace(self._state_file)

    def _digest(self, path: Path) -> str:
        digest = self._digests.get(path)
        if digest is None:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self._digests[path] = digest
        return digest

    def _key(self, step: Step, inputs: list[Path]) -> str:
        parts = [*step.command, *(self._digest(path) for path in inputs)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _is_current(self, step: Step) -> bool:
        known = self._state.get(str(step.output))
        if known is None or not step.output.exists():
            return False
        inputs = [ROOT / str(name) for name in _strings(known.get("inputs"))]
        if not set(step.inputs) <= set(inputs) or not all(path.exists() for path in inputs):
            return False
        return known.get("key") == self._key(step, inputs)

    def run(self, step: Step) -> None:
        """Bring one output up to date.

        Raises:
            BuildError: if the command fails.
        """
        if self._is_current(step):
            return
        if self._verbose:
            print(" ".join(step.command))
        step.output.parent.mkdir(parents=True, exist_ok=True)
        result = subprocess.run(step.command, cwd=ROOT, check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise BuildError(f"{relative(step.output)}:\n{result.stdout}{result.stderr}")
        inputs = step.inputs
        if step.dependencies is not None:
            listed = listed_dependencies(step.dependencies)
            inputs = list(dict.fromkeys([*step.inputs, *listed]))
        self._digests.pop(step.output, None)
        self._state[str(step.output)] = {
            "key": self._key(step, inputs),
            "inputs": [str(path) for path in inputs],
        }
        self.ran += 1


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def run_all(builder: Builder, steps: list[Step], jobs: int) -> list[str]:
    """Run steps, each after those that it needs, which stand before it; return what failed."""
    problems: list[str] = []
    results: dict[int, Future[bool]] = {}

    def attempt(step: Step, needed: list[Future[bool]]) -> bool:
        if not all(result.result() for result in needed):
            return False
        try:
            builder.run(step)
        except BuildError as error:
            problems.append(str(error))
            return False
        return True

    # Steps begin in this order, so what one waits for has begun, and the pool cannot lock up.
    with ThreadPoolExecutor(jobs) as pool:
        for step in steps:
            needed = [results[id(earlier)] for earlier in step.after]
            results[id(step)] = pool.submit(attempt, step, needed)
    for result in results.values():
        result.result()  # raises what no step should
    return problems


def build(steps: list[Step], *, jobs: int | None = None, verbose: bool = False) -> list[str]:
    """Bring all outputs up to date; return the messages of what failed."""
    builder = Builder(verbose)
    problems = run_all(builder, steps, jobs or os.cpu_count() or 1)
    if builder.ran:
        builder.save()
    return problems


def guard_pages(text: str) -> tuple[int, int]:
    """Return the two numbers of ``BELOW,ABOVE``.

    Raises:
        ValueError: if there are not two, or one is not between 1 and 1024.
    """
    below, above = map(int, text.split(","))
    if not (1 <= below <= 1024 and 1 <= above <= 1024):
        raise ValueError(text)
    return below, above


def main(arguments: list[str] | None = None) -> int:
    """Build; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the guest's kernels and programs.")
    parser.add_argument("--out", type=Path, default=ROOT / "vmm/artifacts", metavar="DIR")
    parser.add_argument("--jobs", type=int, metavar="N", help="commands at once (default: CPUs)")
    parser.add_argument("--verbose", action="store_true", help="print the commands")
    parser.add_argument(
        "--stack-guards",
        type=guard_pages,
        default=STACK_GUARDS,
        metavar="BELOW,ABOVE",
        help="guard pages around each stack of the kernel (default: 1,1)",
    )
    parser.add_argument(
        "--poll-yield",
        action="store_true",
        help="let polling yield to other threads, as the command line's poll.yield=1 does",
    )
    options = parser.parse_args(arguments)
    out = options.out.resolve()

    try:
        steps = [*firmware_steps(out), table_step(out)]
        for arch in ARCHITECTURES:
            kernel = out / f"kernel-{arch.name}.elf"
            steps += kernel_steps(
                arch, kernel, guards=options.stack_guards, poll_yield=options.poll_yield
            )
            steps += program_steps(arch, out)
        problems = build(steps, jobs=options.jobs, verbose=options.verbose)
    except (BuildError, OSError) as error:
        problems = [str(error)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
