"""Where devices sit that a user adds to a board: one after the other, each with its interrupt."""

from __future__ import annotations

from vmm.devices.virtio.device import F_RING_PACKED
from vmm.devices.virtio.mmio import VirtioMmio
from vmm.errors import UsageError
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from vmm.bus import Bus
    from vmm.devices.peripheral import Peripheral
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.lines import Clock, InterruptLine
    from vmm.memory import GuestMemory

# Up to where a user can put a device: what guests map, and processors of x86_64 have at least.
MAX_ADDRESS: Final = 1 << 36

PAGE: Final = 0x1000


@value
class Place:
    """A slot in use.

    Attributes:
        name: of the kind of device, as Linux calls it on its command line.
        compatible: the same in a device tree.
        base: guest-physical address of its registers.
        size: their length in bytes.
        irq: the number of its interrupt, as the board counts them.
    """

    name: str
    compatible: str
    base: int
    size: int
    irq: int


class Slots:
    """The slots of a board, used in ascending order.

    Args:
        bus: where the registers go.
        virtio: address of the first slot for virtio devices.
        peripherals: likewise, of peripherals.
        irqs: the interrupts for them all.
        clock: guest time.
        line: returns the wire of an interrupt; called when that first changes.
        packed: virtio devices offer packed virtqueues.
    """

    def __init__(
        self,
        bus: Bus,
        virtio: int,
        peripherals: int,
        irqs: Sequence[int],
        clock: Clock,
        line: Callable[[int], InterruptLine],
        packed: bool = False,
    ) -> None:
        self.places: list[Place] = []
        self._bus = bus
        self._next_virtio = virtio
        self._next_peripheral = peripherals
        self._irqs = irqs
        self._clock = clock
        self._line = line
        self._packed = packed

    def add_virtio(self, device: VirtioDevice) -> Place:
        """Put ``device`` into the next slot.

        Raises:
            UsageError: if there is no interrupt left.
        """
        place = self._place("virtio_mmio", "virtio,mmio", self._next_virtio, VirtioMmio.SIZE)
        if self._packed:
            device.offered |= F_RING_PACKED
        self._next_virtio += place.size
        number = sum(other.name == place.name for other in self.places)
        irq = _LateLine(self._line, place.irq)
        transport = VirtioMmio(device=device, irq=irq, clock=self._clock)
        self._bus.mmio.attach(place.base, place.size, f"virtio{number}", transport)
        self.places.append(place)
        return place

    def add_peripheral(self, device: Peripheral, memory: GuestMemory) -> Place:
        """Put ``device`` where it wants to be, or into the next slot; and connect it.

        Raises:
            UsageError: if something else is there, or there is no interrupt left.
        """
        base = self._next_peripheral if device.at is None else device.at
        name = device.name
        place = self._place(name, f"calypso,{name}", base, device.SIZE)
        if device.at is not None and not 0 <= base <= MAX_ADDRESS - device.SIZE:
            raise UsageError(f"{name} at {base:#x} is beyond what guests can address")
        for ram in memory.regions:
            if base < ram.end and ram.base < base + device.SIZE:
                raise UsageError(f"{name} at {base:#x} overlaps RAM at {ram.base:#x}")
        number = sum(other.name == name for other in self.places)
        try:
            self._bus.mmio.attach(base, device.SIZE, f"{name}{number or ''}", device)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if device.at is None:
            self._next_peripheral += -(-device.SIZE // PAGE) * PAGE
        device.at = base
        irq = _LateLine(self._line, place.irq)
        device.connect(irq=irq, memory=memory, clock=self._clock)
        self.places.append(place)
        return place

    def _place(self, name: str, compatible: str, base: int, size: int) -> Place:
        used = len(self.places)
        if used == len(self._irqs):
            raise UsageError(f"the board has room for {used} added devices")
        return Place(name, compatible, base, size, self._irqs[used])


class _LateLine:
    """A wire that is looked up when it first changes: the controller may not be there before."""

    def __init__(self, find: Callable[[int], InterruptLine], irq: int) -> None:
        self._find = find
        self._irq = irq
        self._line: InterruptLine | None = None

    def __call__(self, level: bool, /) -> None:
        if self._line is None:
            self._line = self._find(self._irq)
        self._line(level)
