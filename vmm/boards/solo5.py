"""The machine of Solo5's hvt: RAM from 0, and hypercalls. No interrupts, no other devices.

x86_64: port 0x500 + n, 32 bits             arm64: 0x1_0000_0000 + 8 * n, 32 bits
"""

from __future__ import annotations

from vmm.arch import X86_64
from vmm.boards.serial import SerialWire
from vmm.errors import UsageError
from vmm.hypercall.services import Services
from vmm.hypercall.solo5 import CALLS, Hypercalls
from vmm.memory import Gpa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from vmm.arch import Arch
    from vmm.backends.api import VirtualMachine
    from vmm.boards.board import Host
    from vmm.boards.options import BoardOptions
    from vmm.boards.slots import Place, Slots
    from vmm.bus import Bus
    from vmm.console import Console
    from vmm.hypercall.solo5 import Properties
    from vmm.lines import Clock
    from vmm.memory import GuestMemory

PORTS: Final = 0x500
MMIO: Final = 0x1_0000_0000
MMIO_STRIDE: Final = 8

# On x86_64 the local APIC lies above; addresses of hypercalls have 32 bits on both.
MAX_RAM: Final = 0xC000_0000


class Solo5Board:
    """The board of a Solo5 unikernel.

    Attributes:
        calls: its hypercalls, with the devices; these are attached before the image is loaded.
    """

    serial: Final = 0
    controller: Final = None
    device_regions: tuple[tuple[int, int, str], ...] = ()
    places: tuple[Place, ...] = ()

    def __init__(
        self,
        vm: VirtualMachine,
        bus: Bus,
        memory: GuestMemory,
        clock: Clock,
        console: Console,
        host: Host,
        options: BoardOptions | None = None,
    ) -> None:
        self.arch: Arch = vm.arch
        self._vm = vm
        self.wire = SerialWire(console, bus)
        # Without a doorbell nobody reaches them.
        self.services = Services(memory, console, clock, host)
        self.calls = calls = Hypercalls(memory, clock, console, host)
        self.doorbell = PORTS if vm.arch == X86_64 else MMIO
        if vm.arch == X86_64:
            bus.pio.attach(PORTS, CALLS, "solo5 hypercalls", calls.region(1))
        else:
            region = calls.region(MMIO_STRIDE)
            bus.mmio.attach(MMIO, CALLS * MMIO_STRIDE, "solo5 hypercalls", region)

    @staticmethod
    def ram_ranges(size: int, options: BoardOptions | None = None) -> Sequence[tuple[Gpa, int]]:
        """Return where RAM lies: from 0.

        Raises:
            UsageError: if there is more than such a machine can have.
        """
        if size > MAX_RAM:
            raise UsageError(f"a Solo5 unikernel can have {MAX_RAM >> 20} MiB of RAM at most")
        return ((Gpa(0), size),)

    @property
    def counter_hz(self) -> int:
        """Frequency of the guest's counter, which the guest is told."""
        return self._vm.find_counter_hz()

    @property
    def properties(self) -> dict[int, Properties]:
        """Return what the guest is told of the attached devices, by handle."""
        disks = {handle: disk.properties for handle, disk in self.calls.disks.items()}
        networks = {handle: link.properties for handle, link in self.calls.networks.items()}
        return {**disks, **networks}

    @property
    def slots(self) -> Slots:
        """There is no place for other devices."""
        raise UsageError("a Solo5 unikernel has the devices of its manifest only")

    def connect(self, vcpus: Sequence[Any]) -> None:
        """There is nothing to connect: hvt has no interrupts."""

    def device_tree(self, command_line: str, initrd: tuple[int, int] | None) -> bytes | None:
        """It is told by its boot information."""
        return None

    def kernel_words(self) -> str:
        """It is told by its boot information."""
        return ""

    def calypso_words(self) -> str:
        """Calypso's kernel does not run here."""
        return ""

    def on_input_attached(self) -> None:
        """There is no input."""

    def on_console_input(self) -> None:
        """There is no input."""
