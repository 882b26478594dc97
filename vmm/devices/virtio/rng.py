"""Entropy device (section 5.4)."""

from __future__ import annotations

from vmm.devices.virtio.device import VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Final

    from vmm.memory import GuestMemory

# One chain may have 4 GiB of room: a guest could keep the host making random numbers for minutes.
# A device may give less than there is room for (5.4.6.2).
MAX_REQUEST: Final = 64 << 10


class Rng(VirtioDevice):
    """Fills buffers with random bytes.

    Args:
        memory: the guest's RAM.
        source: returns so many random bytes.
    """

    DEVICE_ID: ClassVar[int] = 4
    QUEUE_SIZES: ClassVar[tuple[int, ...]] = (64,)

    def __init__(self, memory: GuestMemory, *, source: Callable[[int], bytes]) -> None:
        self._source = source
        super().__init__(memory)

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        for chain in queue:
            length = min(chain.writable.length, MAX_REQUEST)
            queue.push(chain, chain.writable.write(self._source(length)))
        self.notify(queue)
