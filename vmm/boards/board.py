"""What a machine asks of a board, and what a board asks of the machine. For type checkers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from vmm.arch import Arch
from vmm.backends.api import VirtualMachine
from vmm.boards.options import BoardOptions
from vmm.boards.serial import SerialWire
from vmm.boards.slots import Place, Slots
from vmm.boot.bootinfo import Controller
from vmm.bus import Bus
from vmm.console import Console
from vmm.hypercall.services import Host as ServiceHost
from vmm.hypercall.services import Services
from vmm.lines import Clock
from vmm.memory import Gpa, GuestMemory


class Host(ServiceHost, Protocol):
    """What devices of a board can do to the machine as a whole."""

    def power_off(self, status: int = 0) -> None: ...
    def reset(self) -> None: ...
    def end_idle(self) -> None:
        """A device requests an interrupt: a guest that idles (`abi.IDLE`) looks after it."""
        ...

    def exit(self, status: int) -> None: ...
    def abort(self, status: int, message: str) -> None: ...
    def crash(self, message: str) -> None: ...
    def sleep(self, deadline: int, descriptors: Sequence[int]) -> list[int]: ...


class Board(Protocol):
    """Which devices sit where, on which interrupt line, and how a guest is told.

    Attributes:
        arch: of the guest.
        doorbell: I/O port (x86_64) or guest-physical address (arm64) of the doorbell.
        serial: likewise, of the first serial port.
        device_regions: (base, length, name) of memory-mapped registers, page-aligned, ascending;
            what a kernel maps before it has found any device by itself.
        controller: the interrupt controller that our kernel is told of, or None; complete after
            `connect`.
        counter_hz: frequency of the guest's counter, 0 where unknown.
        places: where added devices are.
        slots: where devices are added, before the image is loaded.
        services: behind the doorbell.
        wire: between the console and the port that the guest uses.
    """

    @property
    def arch(self) -> Arch: ...
    @property
    def doorbell(self) -> int: ...
    @property
    def serial(self) -> int: ...
    @property
    def device_regions(self) -> tuple[tuple[int, int, str], ...]: ...
    @property
    def controller(self) -> Controller | None: ...
    @property
    def counter_hz(self) -> int: ...
    @property
    def places(self) -> Sequence[Place]: ...
    @property
    def slots(self) -> Slots: ...
    @property
    def services(self) -> Services: ...
    @property
    def wire(self) -> SerialWire: ...

    def __init__(
        self,
        vm: VirtualMachine,
        bus: Bus,
        memory: GuestMemory,
        clock: Clock,
        console: Console,
        host: Host,
        options: BoardOptions | None = ...,
    ) -> None: ...

    @staticmethod
    def ram_ranges(size: int, options: BoardOptions | None = ...) -> Sequence[tuple[Gpa, int]]:
        """Return where ``size`` bytes of RAM lie."""
        ...

    def connect(self, vcpus: Sequence[Any]) -> None:
        """Connect interrupt controllers to the vCPUs, of the board's own architecture.

        After the last vCPU is made and before the first runs.
        """
        ...

    def device_tree(self, command_line: str, initrd: tuple[int, int] | None) -> bytes | None:
        """Return the flattened device tree, where guests of this board are told by one.

        ``initrd`` is its first guest-physical address and the first behind it.
        """
        ...

    def kernel_words(self) -> str:
        """Return what a kernel's command line must tell of added devices, "" for nothing."""
        ...

    def calypso_words(self) -> str:
        """Return what it tells Calypso's kernel besides: of devices that no other kernel knows."""
        ...

    def on_input_attached(self) -> None:
        """A descriptor was attached to the console for input."""
        ...

    def on_console_input(self) -> None:
        """The console has more input, or its end."""
        ...
