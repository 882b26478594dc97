"""Where virtio devices sit on a board: one slot after the other, each with its own interrupt."""

from __future__ import annotations

from vmm.devices.virtio.mmio import VirtioMmio
from vmm.errors import UsageError
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmm.bus import Bus
    from vmm.devices.lines import InterruptLine
    from vmm.devices.virtio.device import VirtioDevice


@value
class VirtioPlace:
    """A slot in use.

    Attributes:
        base: guest-physical address of its registers.
        size: their length in bytes.
        irq: the number of its interrupt, as the board counts them.
    """

    base: int
    size: int
    irq: int


class VirtioSlots:
    """The slots of a board, used in ascending order.

    Args:
        bus: where the registers go.
        base: address of the first slot.
        irqs: the interrupt of each slot.
        line: returns the wire of an interrupt; called when that first changes.
    """

    def __init__(
        self, bus: Bus, base: int, irqs: Sequence[int], line: Callable[[int], InterruptLine]
    ) -> None:
        self.places: list[VirtioPlace] = []
        self._bus = bus
        self._base = base
        self._irqs = irqs
        self._line = line

    def add(self, device: VirtioDevice) -> VirtioPlace:
        """Put ``device`` into the next slot.

        Raises:
            UsageError: if all are in use.
        """
        index = len(self.places)
        if index == len(self._irqs):
            raise UsageError(f"the board has room for {index} virtio devices")
        irq = self._irqs[index]
        place = VirtioPlace(self._base + index * VirtioMmio.SIZE, VirtioMmio.SIZE, irq)
        transport = VirtioMmio(device=device, irq=_LateLine(self._line, irq))
        self._bus.mmio.attach(place.base, place.size, f"virtio{index}", transport)
        self.places.append(place)
        return place


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
