"""The x86_64 board: the devices of `vmm.boards.x86_map`, made when first needed, connected."""

from __future__ import annotations

from os import urandom
from time import time_ns

from vmm.arch import X86_64
from vmm.boards import x86_map as at
from vmm.boards.lazy import LazyRegion
from vmm.boards.serial import SerialWire
from vmm.boards.x86_interrupts import Interrupts
from vmm.hypercall.doorbell import WIDTH as DOORBELL_WIDTH
from vmm.hypercall.doorbell import Doorbell
from vmm.hypercall.services import Services
from vmm.memory import Gpa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from vmm.backends.api import VirtualMachine, X86Vcpu
    from vmm.boards.board import Host
    from vmm.boards.options import BoardOptions
    from vmm.boards.slots import Place, Slots
    from vmm.bus import Bus
    from vmm.console import Console
    from vmm.devices.i8042 import I8042
    from vmm.devices.i8254 import I8254
    from vmm.lines import Clock, Region
    from vmm.memory import GuestMemory


class X86Board:
    """The devices of an x86_64 machine, connected."""

    arch: Final = X86_64
    doorbell: Final = at.DOORBELL
    serial: Final = at.COM1
    controller: Final = None

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
        self.counter_hz = vm.counter_hz
        self._distance = 0
        self._packed = False
        if options is not None:
            options.check_devices(memory)
            self._distance = options.devices
            self._packed = options.packed
        # The APICs are where every PC has them: a kernel maps them when it comes to drive them.
        self.device_regions: tuple[tuple[int, int, str], ...] = ()
        self._vm = vm
        self._bus = bus
        self._clock = clock
        self._console = console
        self._host = host
        self.wire = SerialWire(console, bus)
        self._made_pit: I8254 | None = None
        self._made_i8042: I8042 | None = None
        self._slots: Slots | None = None
        self._interrupts = Interrupts(vm, bus, clock, host)
        self.services = Services(memory, console, clock, host)
        bus.pio.attach(
            at.DOORBELL, DOORBELL_WIDTH, "doorbell", Doorbell(memory, self.services.table)
        )
        self._attach_ports(bus)
        hwrng = self._distance + at.HWRNG
        bus.mmio.attach(hwrng, at.HWRNG_WINDOW, "hwrng", LazyRegion(self._build_hwrng))

    @staticmethod
    def ram_ranges(size: int, options: BoardOptions | None = None) -> Sequence[tuple[Gpa, int]]:
        """Return where RAM lies: below the hole, and the rest from 4 GiB."""
        if size <= at.HOLE_START:
            return ((Gpa(0), size),)
        return ((Gpa(0), at.HOLE_START), (Gpa(at.HOLE_END), size - at.HOLE_START))

    def connect(self, vcpus: Sequence[X86Vcpu]) -> None:
        """Connect the interrupt controllers to the vCPUs."""
        self._interrupts.connect(vcpus)

    def device_tree(self, command_line: str, initrd: tuple[int, int] | None) -> bytes | None:
        """A PC has none."""
        return None

    def kernel_words(self) -> str:
        """Return where added devices are: size, place, interrupt.

        The words for virtio are those that Linux's module virtio_mmio takes.
        """
        return " ".join([f"{p.name}.device={p.size}@{p.base:#x}:{p.irq}" for p in self.places])

    def calypso_words(self) -> str:
        """Return where the random number generator is, in the same form."""
        return f"hwrng.device={at.HWRNG_WINDOW}@{self._distance + at.HWRNG:#x}:{at.IRQ_HWRNG}"

    @property
    def places(self) -> Sequence[Place]:
        """Where added devices are."""
        return () if self._slots is None else self._slots.places

    @property
    def slots(self) -> Slots:
        """The slots of added devices."""
        if self._slots is None:
            from vmm.boards.slots import Slots

            self._slots = Slots(
                self._bus,
                self._distance + at.VIRTIO,
                self._distance + at.PERIPHERALS,
                at.IRQS_ADDED,
                self._clock,
                self._interrupts.line,
                self._packed,
            )
        return self._slots

    def on_input_attached(self) -> None:
        """Input is read on demand until the guest touches a serial port."""

    def on_console_input(self) -> None:
        """Pass input on to the serial port, if the guest uses it."""
        self.wire.feed()

    def _attach_ports(self, bus: Bus) -> None:
        attach = bus.pio.attach
        attach(at.COM1, at.COM_PORTS, "com1", LazyRegion(self._build_com1))
        attach(at.PIT, at.PIT_PORTS, "8254", LazyRegion(lambda: self._pit))
        attach(at.PORT_61, 1, "port 61", LazyRegion(lambda: self._pit.port_61))
        attach(at.RTC, at.RTC_PORTS, "rtc", LazyRegion(self._build_rtc))
        attach(at.I8042_DATA, 1, "i8042 data", LazyRegion(lambda: self._i8042.data_port))
        command = LazyRegion(lambda: self._i8042.command_port)
        attach(at.I8042_COMMAND, 1, "i8042 command", command)
        attach(at.DEBUG_CONSOLE, 1, "debug console", LazyRegion(self._build_debug_console))
        for port in at.DEBUG_EXITS:
            attach(port, at.DEBUG_EXIT_PORTS, "debug exit", LazyRegion(self._build_debug_exit))
        attach(at.ACPI_EVENTS, at.ACPI_EVENTS_PORTS, "acpi events", LazyRegion(_build_acpi_events))
        attach(at.ACPI_POWER, at.ACPI_POWER_PORTS, "acpi", LazyRegion(self._build_acpi_power))

    # ---- Devices, each made when the guest first touches it ----

    def _build_com1(self) -> Region:
        from vmm.devices.ns16550 import Ns16550

        uart = Ns16550(
            irq=self._interrupts.line(at.IRQ_COM1), sink=self.wire.sink, on_room=self.wire.feed
        )
        self.wire.connect(uart)
        return uart

    @property
    def _pit(self) -> I8254:
        if self._made_pit is None:
            from vmm.devices.i8254 import I8254

            line = self._interrupts.line(at.IRQ_TIMER)
            self._made_pit = I8254(irq=line, clock=self._clock)
        return self._made_pit

    @property
    def _i8042(self) -> I8042:
        if self._made_i8042 is None:
            from vmm.devices.i8042 import I8042

            self._made_i8042 = I8042(reset=self._host.reset)
        return self._made_i8042

    def _build_rtc(self) -> Region:
        from vmm.devices.rtc_cmos import RtcCmos

        line = self._interrupts.line(at.IRQ_RTC)
        return RtcCmos(irq=line, clock=self._clock, wall_clock=time_ns)

    def _build_hwrng(self) -> Region:
        from vmm.devices.hwrng import HwRng

        return HwRng(irq=self._interrupts.line(at.IRQ_HWRNG), source=urandom)

    def _build_debug_console(self) -> Region:
        from vmm.devices.pc_exits import DebugConsole

        return DebugConsole(sink=self.wire.sink)

    def _build_debug_exit(self) -> Region:
        from vmm.devices.pc_exits import DebugExit

        return DebugExit(shutdown=self._host.power_off)

    def _build_acpi_power(self) -> Region:
        from vmm.devices.pc_exits import AcpiPowerControl

        return AcpiPowerControl(shutdown=self._host.power_off)


def _build_acpi_events() -> Region:
    from vmm.devices.pc_exits import AcpiEvents

    return AcpiEvents()
