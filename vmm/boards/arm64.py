"""The arm64 board: the devices of `vmm.boards.arm64_map`, made when first needed, connected."""

from __future__ import annotations

from os import urandom
from time import time_ns

from vmm.arch import ARM64
from vmm.boards import arm64_map as at
from vmm.boards.lazy import LazyRegion
from vmm.boards.serial import SerialWire
from vmm.devices.gicv3_encodings import ENCODINGS
from vmm.errors import BackendUnavailable, UsageError
from vmm.hypercall import abi
from vmm.hypercall.doorbell import Doorbell
from vmm.hypercall.services import Services
from vmm.memory import Gpa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from vmm.backends.api import Arm64Vcpu, VirtualMachine
    from vmm.boards.board import Host
    from vmm.boards.options import BoardOptions
    from vmm.boards.slots import Place, Slots
    from vmm.boot.bootinfo import Controller
    from vmm.bus import Bus
    from vmm.console import Console
    from vmm.devices.gicv2 import GicV2
    from vmm.devices.gicv3 import GicV3
    from vmm.devices.gicv3_encodings import Encoding
    from vmm.lines import Clock, InterruptLine, Region
    from vmm.memory import GuestMemory


DEFAULT_GIC: Final = 3
MAX_CPUS_OF_GICV2: Final = 8


class Arm64Board:
    """The devices of an arm64 machine, connected."""

    arch: Final = ARM64

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
        self.gic_version = (options and options.gic) or DEFAULT_GIC
        self._places = _places(options, memory)
        self._packed = options is not None and options.packed
        self.doorbell = self._places.doorbell
        self.serial = self._places.serial
        self.device_regions = ((self.doorbell, at.PAGE, "doorbell"),)
        self.counter_hz = vm.counter_hz
        self._vm = vm
        self._bus = bus
        self._memory = memory
        self._clock = clock
        self._host = host
        self.wire = SerialWire(console, bus)
        self._cpus = 1
        self._gic2: GicV2 | None = None
        self._gic3: GicV3 | None = None
        self._irq_lines: tuple[InterruptLine, ...] = ()
        self._slots: Slots | None = None
        self.services = Services(memory, console, clock, host)
        attach = bus.mmio.attach
        attach(self.doorbell, at.PAGE, "doorbell", Doorbell(memory, self.services.table))
        if self._places.firecracker:
            attach(self.serial, at.PAGE, "16550", LazyRegion(self._build_ns16550))
        else:
            attach(self.serial, at.PAGE, "pl011", LazyRegion(self._build_pl011))
        attach(self._places.pl031, at.PAGE, "pl031", LazyRegion(self._build_pl031))
        attach(self._places.hwrng, at.PAGE, "hwrng", LazyRegion(self._build_hwrng))

    @staticmethod
    def ram_ranges(size: int, options: BoardOptions | None = None) -> Sequence[tuple[Gpa, int]]:
        """Return where RAM lies: in one piece."""
        firecracker = options is not None and options.is_firecracker
        base = at.FIRECRACKER_RAM if firecracker else at.RAM
        return ((Gpa(base), size),)

    def connect(self, vcpus: Sequence[Arm64Vcpu]) -> None:
        """Create the GIC and connect it to the vCPUs."""
        self._cpus = len(vcpus)
        if self.gic_version == 2 and self._cpus > MAX_CPUS_OF_GICV2:
            raise UsageError(
                f"a GICv2 has at most {MAX_CPUS_OF_GICV2} processors, not {self._cpus}: choose"
                " --board gic=3"
            )
        if self._vm.in_kernel_gic:
            (distributor, _), (second, _) = self._gic_frames()
            try:
                self._vm.create_gic(self.gic_version, distributor, second)
            except BackendUnavailable as error:
                raise BackendUnavailable(
                    f"{error}; the backend unicorn has both versions, and --board chooses"
                ) from None
            return
        self._irq_lines = tuple(vcpu.irq_line() for vcpu in vcpus)
        if self.gic_version == 2:
            self._connect_gicv2()
        else:
            self._connect_gicv3(vcpus)
        for vcpu in vcpus:
            vcpu.connect_timer(
                self._private_line(vcpu.index, at.INTID_VIRTUAL_TIMER),
                self._private_line(vcpu.index, at.INTID_PHYSICAL_TIMER),
            )

    def _gic_frames(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return self._places.gic_frames(self.gic_version, self._cpus)

    def _connect_gicv2(self) -> None:
        attach = self._bus.mmio.attach
        distributor = LazyRegion(lambda: self._gicv2().distributor)
        attach(self._places.gic_distributor, at.GIC_WINDOW, "gicd", distributor)
        interface = LazyRegion(lambda: self._gicv2().cpu_interface)
        attach(self._places.gic_cpu_interface, at.GIC_WINDOW, "gicc", interface)

    def _connect_gicv3(self, vcpus: Sequence[Arm64Vcpu]) -> None:
        attach = self._bus.mmio.attach
        distributor = LazyRegion(lambda: self._gicv3().distributor)
        attach(self._places.gic_distributor, at.GIC_WINDOW, "gicd", distributor)
        for vcpu in vcpus:
            index = vcpu.index
            attach(
                self._places.gic_redistributor + index * at.REDISTRIBUTOR_WINDOW,
                at.REDISTRIBUTOR_WINDOW,
                f"gicr{index}",
                LazyRegion(self._redistributor(index)),
            )
            vcpu.attach_system_registers(_LazyCpuInterface(self, index))

    @property
    def controller(self) -> Controller:
        """The GIC as our kernel is told of it: it does not look into the device tree for that."""
        from vmm.boot.bootinfo import Controller

        kind = abi.CONTROLLER_GICV2 if self.gic_version == 2 else abi.CONTROLLER_GICV3
        return Controller(kind, *self._gic_frames())

    def device_tree(self, command_line: str, initrd: tuple[int, int] | None) -> bytes:
        """Return the flattened device tree of this machine."""
        from vmm.boards.arm64_tree import build_tree

        regions = tuple((region.base, region.size) for region in self._memory.regions)
        return build_tree(
            regions,
            self._cpus,
            self.gic_version,
            self._places,
            command_line,
            initrd,
            self.places,
        )

    def kernel_words(self) -> str:
        """All of it is in the device tree."""
        return ""

    def calypso_words(self) -> str:
        """All of it is in the device tree."""
        return ""

    @property
    def places(self) -> Sequence[Place]:
        """Where added devices are."""
        return () if self._slots is None else self._slots.places

    @property
    def slots(self) -> Slots:
        """The slots of added devices."""
        if self._slots is None:
            from vmm.boards.slots import Slots

            places = self._places
            self._slots = Slots(
                self._bus,
                places.virtio,
                places.peripherals,
                at.INTIDS_ADDED,
                self._clock,
                self._shared_line,
                self._packed,
            )
        return self._slots

    def on_input_attached(self) -> None:
        """Input is read on demand until the guest touches the serial port."""

    def on_console_input(self) -> None:
        """Pass input on to the serial port, if the guest uses it."""
        self.wire.feed()

    @property
    def gic(self) -> GicV2 | GicV3:
        """The GIC, where it is a device and not the backend's; made when first needed."""
        return self._gicv2() if self.gic_version == 2 else self._gicv3()

    def _gicv2(self) -> GicV2:
        if self._gic2 is None:
            from vmm.devices.gicv2 import GicV2

            self._gic2 = GicV2(irq_lines=self._irq_lines, current_cpu=self._vm.current_cpu)
        return self._gic2

    def _gicv3(self) -> GicV3:
        if self._gic3 is None:
            from vmm.devices.gicv3 import GicV3

            self._gic3 = GicV3(irq_lines=self._irq_lines)
        return self._gic3

    def _redistributor(self, index: int) -> Callable[[], Region]:
        return lambda: self._gicv3().redistributors[index]

    def _private_line(self, index: int, intid: int) -> InterruptLine:
        def drive(level: bool) -> None:
            # A timer's line falls whenever the guest looks at the timer: no reason for a GIC yet.
            if level or self._gic2 is not None or self._gic3 is not None:
                self.gic.private_line(index, intid)(level)

        return drive

    def _shared_line(self, intid: int) -> InterruptLine:
        in_kernel = self._vm.in_kernel_gic
        line = self._vm.interrupt_line(intid) if in_kernel else self.gic.line(intid)

        def drive(level: bool) -> None:
            line(level)
            if level:
                self._host.end_idle()

        return drive

    def _build_pl011(self) -> Region:
        from vmm.devices.pl011 import Pl011

        uart = Pl011(
            irq=self._shared_line(at.INTID_SERIAL), sink=self.wire.sink, on_room=self.wire.feed
        )
        self.wire.connect(uart)
        return uart

    def _build_ns16550(self) -> Region:
        from vmm.devices.ns16550 import Ns16550

        uart = Ns16550(
            irq=self._shared_line(at.INTID_SERIAL), sink=self.wire.sink, on_room=self.wire.feed
        )
        self.wire.connect(uart)
        return uart

    def _build_pl031(self) -> Region:
        from vmm.devices.pl031 import Pl031

        return Pl031(irq=self._shared_line(at.INTID_PL031), clock=self._clock, wall_clock=time_ns)

    def _build_hwrng(self) -> Region:
        from vmm.devices.hwrng import HwRng

        return HwRng(irq=self._shared_line(at.INTID_HWRNG), source=urandom)


def _places(options: BoardOptions | None, memory: GuestMemory) -> at.Places:
    if options is None:
        return at.Places()
    options.check_devices(memory)
    return at.Places(options.is_firecracker, options.devices)


class _LazyCpuInterface:
    """The GIC's CPU interface of one vCPU, in a GIC that may not have been made yet."""

    def __init__(self, board: Arm64Board, index: int) -> None:
        self._board = board
        self._index = index

    def encodings(self) -> tuple[Encoding, ...]:
        return ENCODINGS

    def read_register(self, encoding: Encoding) -> int:
        return self._board._gicv3().cpu_interfaces[self._index].read_register(encoding)

    def write_register(self, encoding: Encoding, value: int) -> None:
        self._board._gicv3().cpu_interfaces[self._index].write_register(encoding, value)
