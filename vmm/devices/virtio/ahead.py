"""Chains to be filled that a device has seen but not taken: one frame may take many of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.devices.virtio.chain import Chain

    # A chain that is given back: its head, how many entries of the ring it takes, and how many
    # bytes were written to it.
    Given = tuple[int, int, int]


class Ahead:
    """The next chains of a queue, as if their device-writable parts were one.

    Attributes:
        chains: each as it will be given back when it is full.
        views: their buffers, in order.
        length: bytes in these.
        entries: how many entries of the ring the chains take.
    """

    __slots__ = ("_widths", "chains", "entries", "length", "views")

    def __init__(self) -> None:
        self.chains: list[Given] = []
        self.views: list[memoryview] = []
        self.length = self.entries = 0
        # How many of the buffers are of each chain.
        self._widths: list[int] = []

    def add(self, chain: Chain) -> None:
        """Add a chain behind the others."""
        part = chain.writable
        self.chains.append((chain.head, chain.count, part.length))
        self.views += part.views
        self.length += part.length
        self.entries += chain.count
        self._widths.append(len(part.views))

    def add_buffers(self, chains: list[Given], views: list[memoryview]) -> None:
        """Add ``chains`` of an entry each, whose only buffers are ``views``."""
        self.chains += chains
        self.views += views
        self.length += sum([len(view) for view in views])
        self.entries += len(views)
        self._widths += [1] * len(views)

    def first(self) -> tuple[list[memoryview], int]:
        """Return the buffers of the first chain and their length; nothing if there is none."""
        if not self.chains:
            return [], 0
        return self.views[: self._widths[0]], self.chains[0][2]

    def take(self, length: int) -> list[Given]:
        """Remove the first chains, as many as ``length`` bytes fill; it is not more than fits.

        At least one is. Returns them, the last one with as much as is left for it.
        """
        left = length
        number = 0
        for _, _, room in self.chains:
            number += 1
            if left <= room:
                break
            left -= room
        taken = self.chains[:number]
        del self.chains[:number]
        del self.views[: sum(self._widths[:number])]
        del self._widths[:number]
        head, count, room = taken[-1]
        taken[-1] = (head, count, left)
        self.length -= length - left + room
        self.entries -= sum([entries for _, entries, _ in taken])
        return taken
