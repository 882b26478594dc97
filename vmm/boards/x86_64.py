"""The x86_64 board: what is left of a PC when nothing is kept that small kernels do not use.

    ports                                     memory
    0x0020 0x00a0  8259 pair (0x04d0: ELCR)   0x0000_0000  RAM, up to 3 GiB
    0x0040 0x0061  8254 timer                 0xc000_0000  hole: devices by memory
    0x0064         i8042: reset               0xd000_0000    virtio-mmio
    0x0070         RTC and CMOS, IRQ 8        0xfec0_0000    I/O APIC
    0x00e9         debug output               0xfee0_0000    local APIC
    0x00f4 0x0501  debug exit               0x1_0000_0000  RAM above 3 GiB
    0x03f8         COM1, IRQ 4
    0x0604         power-off
    0x0ca0         doorbell
"""

from __future__ import annotations

from vmm.arch import X86_64
from vmm.boards.lazy import LazyRegion
from vmm.boards.serial import SerialWire
from vmm.hypercall.doorbell import WIDTH as DOORBELL_WIDTH
from vmm.hypercall.doorbell import Doorbell
from vmm.hypercall.services import Services
from vmm.memory import Gpa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from vmm.backends.api import Vcpu, VirtualMachine
    from vmm.boards.board import Host
    from vmm.bus import Bus
    from vmm.console import Console
    from vmm.devices.i8254 import I8254
    from vmm.devices.i8259 import I8259Pair
    from vmm.devices.ioapic import IoApic
    from vmm.devices.lines import Clock, InterruptLine, Region
    from vmm.devices.local_apic import LocalApic
    from vmm.memory import GuestMemory

HOLE_START: Final = 0xC000_0000
HOLE_END: Final = 0x1_0000_0000

IOAPIC: Final = 0xFEC0_0000
LOCAL_APIC: Final = 0xFEE0_0000
APIC_WINDOW: Final = 0x1000

COM1: Final = 0x3F8
DOORBELL: Final = 0x0CA0

IRQ_TIMER: Final = 0
IRQ_COM1: Final = 4
IRQ_RTC: Final = 8
GSI_TIMER: Final = 2  # where a PC's I/O APIC receives the 8254


class X86Board:
    """The devices of an x86_64 machine, connected."""

    arch: Final = X86_64
    doorbell: Final = DOORBELL
    serial: Final = COM1

    def __init__(
        self,
        vm: VirtualMachine,
        bus: Bus,
        memory: GuestMemory,
        clock: Clock,
        console: Console,
        host: Host,
    ) -> None:
        self.counter_hz = vm.counter_hz
        self.device_regions: tuple[tuple[int, int, str], ...] = (
            (IOAPIC, APIC_WINDOW, "ioapic"),
            (LOCAL_APIC, APIC_WINDOW, "local apic"),
        )
        self._vm = vm
        self._bus = bus
        self._clock = clock
        self._console = console
        self._host = host
        self._wire = SerialWire(console, bus)
        self._interrupts = _Interrupts(vm, bus, clock)
        services = Services(memory, console, clock, host)
        bus.pio.attach(DOORBELL, DOORBELL_WIDTH, "doorbell", Doorbell(memory, services.table))
        self._attach_ports(bus)

    @staticmethod
    def ram_ranges(size: int) -> Sequence[tuple[Gpa, int]]:
        """Return where RAM lies: below the hole, and the rest from 4 GiB."""
        if size <= HOLE_START:
            return ((Gpa(0), size),)
        return ((Gpa(0), HOLE_START), (Gpa(HOLE_END), size - HOLE_START))

    def connect(self, vcpus: Sequence[Vcpu]) -> None:
        """Connect the interrupt controllers to the vCPUs."""
        self._interrupts.connect(vcpus)

    def device_tree(self, command_line: str, initrd: tuple[int, int] | None) -> bytes | None:
        """A PC has none."""
        return None

    def on_input_attached(self) -> None:
        """Input is read on demand until the guest touches a serial port."""

    def on_console_input(self) -> None:
        """Pass input on to the serial port, if the guest uses it."""
        self._wire.feed()
