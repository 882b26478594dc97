"""What goes into a machine before it starts, by the kind of its image."""

from __future__ import annotations

import os
from time import time_ns

from vmm.arch import X86_64
from vmm.errors import UsageError
from vmm.hypercall import abi
from vmm.images.bundled import kernel_path
from vmm.images.image import CALYPSO_KERNEL, HERMIT, LINUX_PROGRAM, UNKNOWN
from vmm.images.recognise import open_image
from vmm.memory import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, Protocol

    from vmm.arch import Arch
    from vmm.backends.api import Registers
    from vmm.boards.board import Board
    from vmm.images.image import Image
    from vmm.machine.config import MachineConfig
    from vmm.memory import GuestMemory

    class Place(Protocol):
        """A part of RAM with something in it."""

        @property
        def physical(self) -> int: ...
        @property
        def end(self) -> int: ...
        @property
        def name(self) -> str: ...


# On arm64 the device tree names the console.
LINUX_X86_CONSOLE: Final = "console=ttyS0"

# Of RAM for service calls, in machines that are not small.
SERVICE_LENGTH: Final = 4 << 20

FEATURES: Final = (
    abi.FEATURE_DOORBELL
    | abi.FEATURE_CONSOLE
    | abi.FEATURE_IDLE
    | abi.FEATURE_ZEROED_RAM
    | abi.FEATURE_GENERATION
    | abi.FEATURE_STACK_GUARD
)


class Payload:
    """What was loaded.

    Attributes:
        registers: the state in which vCPU 0 starts.
        paths: the ELF files in the machine whose symbols a crash report may name.
        places: what is where in RAM.
        foreign: the kernel is one that others built.
        halts_when_done: a halt with interrupts disabled is how this guest powers off.
        ring: where the ring of service calls is, or None.
        bootinfo: the gpa of ``struct calypso_bootinfo``; 0 where there is none.
        generation: the gpa of ``struct calypso_generation``; 0 where the guest looks at none.
    """

    def __init__(
        self,
        registers: Registers,
        paths: tuple[str, ...],
        places: Sequence[Place],
        *,
        foreign: bool = False,
        halts_when_done: bool = False,
        ring: Place | None = None,
        bootinfo: int = 0,
        generation: int = 0,
    ) -> None:
        self.registers = registers
        self.paths = paths
        self.places = places
        self.foreign = foreign
        self.halts_when_done = halts_when_done
        self.ring = ring
        self.bootinfo = bootinfo
        self.generation = generation

    def symbolize(self, address: int) -> str | None:
        """Return ``"name+0x12 (file)"`` for a virtual address of the guest, or None."""
        for path in self.paths:
            try:
                with open_image(path) as image:
                    symbol = image.symbolize(address)
            except UsageError:
                continue  # the file has gone since
            if symbol is not None:
                return f"{symbol} ({os.path.basename(path)})"
        return None


def load_image(
    config: MachineConfig, name: str, image: Image, board: Board, memory: GuestMemory
) -> Payload:
    """Load ``image`` with what its kind needs besides; ``name`` is what a program is called.

    Raises:
        UsageError: if it cannot be loaded into this machine.
    """
    if config.root and image.kind != LINUX_PROGRAM:
        raise UsageError(
            image.complaint or f"{image.path} is a {image.kind}: --root is for Linux programs"
        )
    if image.kind == CALYPSO_KERNEL:
        return _load_calypso(config, name, image, None, board, memory)
    if image.kind == LINUX_PROGRAM:
        _check_interpreter(config, image)
        return _load_calypso(config, name, _bundled_kernel(board.arch), image, board, memory)
    if image.kind == UNKNOWN:
        raise UsageError(image.complaint)
    return _load_foreign(config, image, board, memory)


_kernels: dict[str, Image] = {}


def _bundled_kernel(arch: Arch) -> Image:
    """Return our own kernel, which stays open: every machine of this process gets the same one."""
    kernel = _kernels.get(arch)
    if kernel is None:
        kernel = _kernels[arch] = open_image(kernel_path(arch))
    return kernel


def _check_interpreter(config: MachineConfig, program: Image) -> None:
    assert program.elf is not None
    interpreter = program.elf.interpreter()
    if interpreter is not None and config.initrd is None and not config.root:
        raise UsageError(
            f"{program.path} is dynamically linked: give it a root file system that has"
            f" {interpreter} with --root or --initrd, or link it statically"
        )


def _load_calypso(
    config: MachineConfig,
    name: str,
    kernel: Image,
    program: Image | None,
    board: Board,
    memory: GuestMemory,
) -> Payload:
    from vmm.boot.calypso import load

    words = [config.command_line, board.kernel_words(), board.calypso_words()]
    if config.strace:
        words.append("strace=1")
    if config.root:
        from vmm.machine.device_options import ROOT_WORDS

        words.append(ROOT_WORDS)
    command_line = _join(*words)
    loaded = load(
        memory,
        board.arch,
        kernel,
        # The guest finds a program in its root file system by itself.
        program=None if config.root else program,
        arguments=(name, *config.arguments) if program is not None else (),
        environment=tuple(f"{name}={content}" for name, content in config.environment),
        initrd=config.initrd,
        command_line=command_line,
        device_tree=board.device_tree(command_line, None) or b"",
        device_regions=board.device_regions,
        doorbell=board.doorbell,
        console=board.serial,
        controller=board.controller,
        counter_hz=board.counter_hz,
        wall_clock=time_ns(),
        seed=os.urandom(abi.SEED_LENGTH),
        stack_guard=int.from_bytes(os.urandom(8), "little"),
        features=FEATURES | (abi.FEATURE_SERVICES if config.services else 0),
        service_length=_service_length(config) if config.services else 0,
    )
    paths = (kernel.path,) if program is None else (kernel.path, program.path)
    ring = [region for region in loaded.regions if region.type == abi.REGION_SERVICE]
    return Payload(
        loaded.registers,
        paths,
        loaded.regions,
        ring=ring[0] if ring else None,
        bootinfo=loaded.place,
        generation=loaded.bootinfo.generation,
    )


def _service_length(config: MachineConfig) -> int:
    """Return how much RAM service calls get: enough for large transfers, but not all."""
    return min(SERVICE_LENGTH, config.memory // 8 & -PAGE_SIZE)


def _load_foreign(
    config: MachineConfig, image: Image, board: Board, memory: GuestMemory
) -> Payload:
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.foreign import ForeignKernel

    assert isinstance(image, ForeignKernel)
    if config.services:
        raise UsageError(f"{image.path}: only Calypso's own kernel takes service calls")
    if config.environment and image.kind != HERMIT:
        raise UsageError(f"{image.path}: --env is for programs, this is a kernel")
    if config.strace:
        raise UsageError(f"{image.path}: --strace is for programs, this is a kernel")
    words = [config.command_line, *config.arguments]
    if image.linux:
        words.append(board.kernel_words())
    if image.linux and board.arch == X86_64 and "console=" not in config.command_line:
        words.insert(0, LINUX_X86_CONSOLE)
    request = BootRequest(
        name=os.path.basename(image.path),
        command_line=_join(*words),
        initrd=config.initrd,
        board=board,
        cpus=config.cpus,
    )
    placement = Placement(memory)
    registers = image.load(placement, request)
    # Without ACPI, Linux halts a PC where it would switch it off.
    halts = image.linux and board.arch == X86_64
    return Payload(registers, (image.path,), placement.pieces, foreign=True, halts_when_done=halts)


def _join(*words: str) -> str:
    return " ".join([word for word in words if word])
