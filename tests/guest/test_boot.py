"""The kernel's lower half in a machine: boot, page rights, panics, memory, clocks, console."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from guest.build import ARCHITECTURES, LOWER_HALF, build, kernel_steps
from vmm import Machine
from vmm.arch import parse_arch
from vmm.boot.bootinfo import unpack_bootinfo
from vmm.boot.memory_map import MEMORY_MAPS
from vmm.hypercall import abi
from vmm.images.bundled import kernel_path

SECONDS = 60


@pytest.fixture(scope="session")
def kernels() -> dict[str, Path]:
    """The kernel of tests/guest/kernel, for each architecture.

    Where there is no compiler, in the KVM lab, they are what the host built in the same checkout.
    """
    folder = Path(__file__).parent / "kernel"
    products = {
        architecture.name: folder.parents[2] / f"build/test-kernel-{architecture.name}.elf"
        for architecture in ARCHITECTURES
    }
    if find_spec("ziglang") is None:
        if not all(product.exists() for product in products.values()):
            pytest.skip("needs the package ziglang, or kernels built with it")
        return products
    steps = []
    for architecture in ARCHITECTURES:
        steps += kernel_steps(architecture, products[architecture.name], (*LOWER_HALF, folder))
    assert build(steps) == []
    return products


class Experiments:
    """Runs experiments on one architecture and backend."""

    def __init__(self, kernel: Path, backend: str) -> None:
        self.kernel = kernel
        self.backend = backend

    def run(
        self,
        name: str,
        *,
        memory: str = "16M",
        cmdline: str = "",
        stdin: bytes = b"",
        board: str = "",
    ) -> Machine:
        """Run one to its end and return the machine, closed."""
        with Machine(
            self.kernel,
            backend=self.backend,
            memory=memory,
            cmdline=f"test={name} {cmdline}",
            stdin=stdin,
            board=board,
        ) as machine:
            machine.run(timeout=SECONDS)
        return machine

    def panic(self, name: str) -> str:
        """Run one that panics and return what it said."""
        outcome = self.run(name).outcome
        assert outcome is not None
        assert outcome.kind == "panicked"
        return outcome.message

    def passes(self, name: str, **options: str) -> Machine:
        """Run one that checks by itself."""
        machine = self.run(name, **options)
        assert machine.outcome is not None
        assert (machine.outcome.kind, machine.outcome.status) == ("exited", 0), (
            machine.outcome.message
        )
        return machine


@pytest.fixture
def experiments(kernels: dict[str, Path], arch: str, backend: str) -> Experiments:
    return Experiments(kernels[arch], backend)


FORBIDDEN = {
    "write-page-zero": "page fault in the kernel: write at 0x0000000000000010",
    "read-unmapped": "page fault in the kernel: read at ",
    "write-text": "page fault in the kernel: write at ",
    "write-rodata": "page fault in the kernel: write at ",
    "execute-data": "page fault in the kernel: instruction fetch at ",
    "execute-rodata": "page fault in the kernel: instruction fetch at ",
    "enter-nothing": "program fault 0 at 0x0000000000400000",
    "enter-kernel": "program fault 0 at 0xffff",
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_forbidden_faults_and_is_told(experiments: Experiments, name: str) -> None:
    assert experiments.panic(name).startswith(FORBIDDEN[name])


def test_a_program_counter_outside_both_halves_is_the_programs_fault(
    experiments: Experiments,
) -> None:
    assert re.match(r"program fault \d at 0x8000000000000000\n", experiments.panic("enter-hole"))


@pytest.mark.parametrize(
    ("name", "thread"),
    [
        ("overflow-stack", "boot"),
        ("overflow-boot-stack", "boot"),
        ("overflow-thread", "test/7"),
    ],
)
def test_a_stack_overflow_is_named(
    experiments: Experiments, kernels: dict[str, Path], arch: str, name: str, thread: str
) -> None:
    message = experiments.panic(name)
    found = re.match(
        rf"stack overflow in thread {thread}, guard at 0xffff([0-9a-f]{{12}}), "
        r"pc 0x([0-9a-f]{16})\n",
        message,
    )
    assert found is not None, message
    assert symbol(kernels[arch], int(found[2], 16)) == "recurse_from"


def test_a_stack_underflow_is_named(experiments: Experiments) -> None:
    message = experiments.panic("underflow-thread")
    assert message.startswith("stack underflow in thread test/7, guard at 0xffff")


def test_who_smashes_the_stack_is_named(
    experiments: Experiments, kernels: dict[str, Path], arch: str
) -> None:
    message = experiments.panic("smash-stack")
    found = re.match(r"stack smashed by the function at 0x([0-9a-f]{16})\n", message)
    assert found is not None, message
    assert symbol(kernels[arch], int(found[1], 16)) == "smash_stack"


def test_each_machine_has_a_stack_guard_of_its_own(arch: str) -> None:
    guards = set()
    for _ in range(2):
        with Machine("hello", arch=arch, backend="unicorn") as machine:
            machine.run(timeout=SECONDS)
            guard = machine.memory.read_u64(kernel_variable(machine, "__stack_chk_guard"))
            kept = machine.memory.read(kernel_variable(machine, "bootinfo"), abi.BOOTINFO.size)
            assert unpack_bootinfo(kept).stack_guard == 0
        assert guard & 0xFF == 0
        guards.add(guard)
    assert len(guards) == 2


def kernel_variable(machine: Machine, name: str) -> int:
    """The gpa of a variable of the bundled kernel."""
    arch = parse_arch(machine.arch)
    assert arch is not None
    with Path(kernel_path(arch)).open("rb") as file:
        (symbol,) = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name(name)
        return int(symbol["st_value"] - MEMORY_MAPS[arch].direct_map)


@pytest.mark.parametrize("name", ["stack-grows", "exhaust-stacks", "nest-faults"])
def test_stacks(experiments: Experiments, name: str) -> None:
    experiments.passes(name, memory="4M")


@pytest.mark.parametrize(
    ("cmdline", "guards"),
    [
        ("", b"1 1"),
        ("stack.guards=8", b"8 1"),
        ("stack.guards=2,3", b"2 3"),
        ("stack.guards=,4", b"1 4"),
        ("stack.guards=0,0", b"0 0"),
        ("stack.guards=none", b"1 1"),
    ],
)
def test_three_kinds_of_stacks(
    kernels: dict[str, Path], arch: str, cmdline: str, guards: bytes
) -> None:
    experiments = Experiments(kernels[arch], "unicorn")
    log = experiments.passes("stack-modes", cmdline=f"loglevel=3 {cmdline}").console.log
    assert b"guards " + guards + b"\n" in log


def test_a_panic_shows_what_where_and_who_called(
    experiments: Experiments, kernels: dict[str, Path], arch: str
) -> None:
    lines = experiments.panic("panic").splitlines()
    assert lines[:2] == ["the answer is 42", "backtrace:"]
    callers = [symbol(kernels[arch], int(line, 16)) for line in lines[2:]]
    assert callers[:2] == ["panic_on_purpose", "program_start"] or callers[0] == "program_start"
    assert callers[-1] in ("_start", "kernel_main")


def test_a_fault_shows_the_registers_and_where_it_was(
    experiments: Experiments, kernels: dict[str, Path], arch: str
) -> None:
    message = experiments.panic("write-text")
    place = re.search(r"^at 0x([0-9a-f]{16})$", message, re.MULTILINE)
    assert place is not None
    assert symbol(kernels[arch], int(place[1], 16)) in ("write_text", "program_start")
    pc = {"x86_64": "rip", "arm64": "pc "}[arch]
    assert f"{pc} {place[1]} " in message


def symbol(kernel: Path, address: int) -> str:
    """The name of the function at ``address``."""
    with kernel.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        for entry in table.iter_symbols():
            start = entry["st_value"]
            if (
                entry["st_info"]["type"] == "STT_FUNC"
                and start <= address <= start + entry["st_size"]
            ):
                return str(entry.name)
    return "?"


@pytest.mark.parametrize("memory", ["1536K", "2M", "3M", "4M", "5M", "6148K", "64M"])
def test_all_memory_can_be_had_and_comes_back(experiments: Experiments, memory: str) -> None:
    machine = experiments.passes("use-all-memory", memory=memory, cmdline="loglevel=3")
    found = re.search(rb"(\d+) frames", machine.console.log)
    assert found is not None
    # The kernel's image, tables, records and what bootinfo points to stay below 800 KiB.
    assert machine.memory.size // 4096 - int(found[1]) < 200


@pytest.mark.parametrize("memory", ["1G", "5G", "64G"])
def test_large_memory_boots_as_fast(experiments: Experiments, memory: str) -> None:
    experiments.passes("pass", memory=memory)


@pytest.mark.parametrize(
    "name",
    ["copy-from-nowhere", "copy-pages", "respect-protection", "map-device", "tell-time"],
)
def test_experiment_passes(experiments: Experiments, name: str) -> None:
    experiments.passes(name)


def test_the_doorbell_is_the_console(experiments: Experiments) -> None:
    machine = experiments.run("echo", stdin=b"some input\n")
    assert machine.console.output == b"ready\nsome input\n"


def test_a_serial_port_is_the_console_when_that_is_asked(experiments: Experiments) -> None:
    machine = experiments.run("echo", cmdline="console=serial", stdin=b"x")
    # What is sent to a serial port does not say which stream it belongs to.
    assert machine.console.output == b"ready\r\nx"


# Its interrupt line, and how it is told to use that for input: IER of the 16550, IMSC of the PL011.
SERIAL_INTERRUPTS = {
    "x86_64": "line=4 enable-at=1 enable=1",
    "arm64": "line=33 enable-at=0x38 enable=0x50",
}


@pytest.mark.parametrize(
    "board", ["", "devices=0x10000000000", "gic=2", "gic=2,devices=0x10000000000"]
)
def test_a_device_interrupts_an_idle_kernel(
    experiments: Experiments, arch: str, backend: str, board: str
) -> None:
    if "gic=2" in board and (arch, backend) != ("arm64", "unicorn"):
        pytest.skip("only arm64 machines of the backend unicorn have the choice")
    machine = experiments.run(
        "interrupt", cmdline=SERIAL_INTERRUPTS[arch], stdin=b"1x", board=board
    )
    assert machine.outcome is not None
    assert machine.outcome.status == 0, machine.outcome.message


def test_a_controller_is_only_where_bootinfo_names_it(kernels: dict[str, Path]) -> None:
    """The device tree, which names it too, is not asked."""
    with Machine(kernels["arm64"], backend="unicorn", cmdline="test=no-controller") as machine:
        features = machine.loaded.bootinfo + abi.BOOTINFO_FEATURES_OFFSET
        offered = machine.memory.read_u64(features)
        machine.memory.write_u64(features, offered & ~abi.FEATURE_CONTROLLER)
        machine.run(timeout=SECONDS)
    assert machine.outcome is not None
    assert machine.outcome.status == 0, machine.outcome.message


def test_the_kernel_is_silent_unless_asked(experiments: Experiments) -> None:
    assert experiments.run("tell-time").console.log == b""
    log = experiments.run("tell-time", cmdline="loglevel=3").console.log
    assert re.fullmatch(rb"\[ *\d+\.\d{6}\] passed \d+ wall \d+\n", log)
