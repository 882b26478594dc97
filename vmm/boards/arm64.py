"""The arm64 board: the devices of `vmm.boards.arm64_map`, made when first needed, connected."""

from __future__ import annotations

from time import time_ns

from vmm.arch import ARM64
from vmm.boards import arm64_map as at
from vmm.boards.lazy import LazyRegion
from vmm.boards.serial import SerialWire
from vmm.devices.gicv3_encodings import ENCODINGS
from vmm.hypercall.doorbell import Doorbell
from vmm.hypercall.services import Services
from vmm.memory import Gpa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from vmm.backends.api import Arm64Vcpu, VirtualMachine
    from vmm.boards.board import Host
    from vmm.bus import Bus
    from vmm.console import Console
    from vmm.devices.gicv3 import GicV3
    from vmm.devices.gicv3_encodings import Encoding
    from vmm.devices.lines import Clock, InterruptLine, Region
    from vmm.memory import GuestMemory


class Arm64Board:
    """The devices of an arm64 machine, connected."""

    arch: Final = ARM64
    doorbell: Final = at.DOORBELL
    serial: Final = at.PL011
    device_regions: Final[tuple[tuple[int, int, str], ...]] = ((at.DOORBELL, at.PAGE, "doorbell"),)
    gic_version: Final = 3

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
        self._vm = vm
        self._bus = bus
        self._memory = memory
        self._clock = clock
        self._wire = SerialWire(console, bus)
        self._cpus = 1
        self._gic: GicV3 | None = None
        self._irq_lines: tuple[InterruptLine, ...] = ()
        services = Services(memory, console, clock, host)
        attach = bus.mmio.attach
        attach(at.DOORBELL, at.PAGE, "doorbell", Doorbell(memory, services.table))
        attach(at.PL011, at.PAGE, "pl011", LazyRegion(self._build_pl011))
        attach(at.PL031, at.PAGE, "pl031", LazyRegion(self._build_pl031))

    @staticmethod
    def ram_ranges(size: int) -> Sequence[tuple[Gpa, int]]:
        """Return where at.RAM lies: in one piece."""
        return ((Gpa(at.RAM), size),)

    def connect(self, vcpus: Sequence[Arm64Vcpu]) -> None:
        """Create the GIC and connect it to the vCPUs."""
        self._cpus = len(vcpus)
        if self._vm.in_kernel_gic:
            self._vm.create_gic(self.gic_version, at.GIC_DISTRIBUTOR, at.GIC_REDISTRIBUTOR)
            return
        self._irq_lines = tuple(vcpu.irq_line() for vcpu in vcpus)
        attach = self._bus.mmio.attach
        attach(at.GIC_DISTRIBUTOR, at.GIC_WINDOW, "gicd", LazyRegion(lambda: self.gic.distributor))
        for vcpu in vcpus:
            index = vcpu.index
            attach(
                at.GIC_REDISTRIBUTOR + index * at.REDISTRIBUTOR_WINDOW,
                at.REDISTRIBUTOR_WINDOW,
                f"gicr{index}",
                LazyRegion(self._redistributor(index)),
            )
            vcpu.attach_system_registers(_LazyCpuInterface(self, index))
            vcpu.connect_timer(
                self._private_line(index, at.INTID_VIRTUAL_TIMER),
                self._private_line(index, at.INTID_PHYSICAL_TIMER),
            )

    def device_tree(self, command_line: str, initrd: tuple[int, int] | None) -> bytes:
        """Return the flattened device tree of this machine."""
        from vmm.boards.arm64_tree import build_tree

        regions = tuple((region.base, region.size) for region in self._memory.regions)
        return build_tree(regions, self._cpus, self.gic_version, command_line, initrd)

    def on_input_attached(self) -> None:
        """Input is read on demand until the guest touches the serial port."""

    def on_console_input(self) -> None:
        """Pass input on to the serial port, if the guest uses it."""
        self._wire.feed()

    @property
    def gic(self) -> GicV3:
        """The GIC, where it is a device and not the backend's; made when first needed."""
        if self._gic is None:
            from vmm.devices.gicv3 import GicV3

            self._gic = GicV3(irq_lines=self._irq_lines)
        return self._gic

    def _redistributor(self, index: int) -> Callable[[], Region]:
        return lambda: self.gic.redistributors[index]

    def _private_line(self, index: int, intid: int) -> InterruptLine:
        def drive(level: bool) -> None:
            # A timer's line falls whenever the guest looks at the timer: no reason for a GIC yet.
            if level or self._gic is not None:
                self.gic.private_line(index, intid)(level)

        return drive

    def _shared_line(self, intid: int) -> InterruptLine:
        if self._vm.in_kernel_gic:
            return self._vm.interrupt_line(intid)
        return self.gic.line(intid)

    def _build_pl011(self) -> Region:
        from vmm.devices.pl011 import Pl011

        uart = Pl011(
            irq=self._shared_line(at.INTID_PL011), sink=self._wire.sink, on_room=self._wire.feed
        )
        self._wire.connect(uart)
        return uart

    def _build_pl031(self) -> Region:
        from vmm.devices.pl031 import Pl031

        return Pl031(irq=self._shared_line(at.INTID_PL031), clock=self._clock, wall_clock=time_ns)


class _LazyCpuInterface:
    """The GIC's CPU interface of one vCPU, in a GIC that may not have been made yet."""

    def __init__(self, board: Arm64Board, index: int) -> None:
        self._board = board
        self._index = index

    def encodings(self) -> tuple[Encoding, ...]:
        return ENCODINGS

    def read_register(self, encoding: Encoding) -> int:
        return self._board.gic.cpu_interfaces[self._index].read_register(encoding)

    def write_register(self, encoding: Encoding, value: int) -> None:
        self._board.gic.cpu_interfaces[self._index].write_register(encoding, value)
