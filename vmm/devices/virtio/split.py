"""Split virtqueues (section 2.7): a table of descriptors, a ring of heads there, a ring back.

Indices of the rings are 16-bit words that wrap around; `distance` is the only arithmetic on them.
"""

from __future__ import annotations

from struct import error as struct_error

from vmm.devices.virtio.chain import (
    DESCRIPTOR,
    DESCRIPTOR_SIZE,
    F_INDIRECT,
    F_NEXT,
    F_WRITE,
    Chain,
    QueueError,
    indirect_table,
)
from vmm.devices.virtio.queue import Queue, fence
from vmm.errors import GuestMemoryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from vmm.devices.virtio.ahead import Ahead, Given
    from vmm.devices.virtio.chain import Element, Tables

# struct virtq_used_elem, as one word: head of the chain, and above it the bytes written (2.7.8).
USED_ELEMENT_SIZE: Final = 8
_WRITTEN_SHIFT: Final = 32

# virtq_avail.flags
NO_INTERRUPT: Final = 1

# Both rings begin with flags and idx; the available ring's entries follow as words.
_FLAGS: Final = 0
_INDEX: Final = 1
_RING: Final = 2

_WORD: Final = 0xFFFF


def distance(later: int, earlier: int) -> int:
    """Return how many steps the index ``later`` is ahead of ``earlier``."""
    return later - earlier & _WORD


class SplitQueue(Queue):
    """A split virtqueue; its driver area is the available ring, its device area the used ring.

    `next_available` and `next_used` are free-running indices, as in the rings.
    """

    def reset(self) -> None:
        super().reset()
        self._table = memoryview(b"")
        self._available = self._used_words = self._table.cast("H")
        self._used_elements = self._table.cast("Q")

    def _map(self) -> None:
        size = self.size
        if size & (size - 1):
            raise QueueError(f"a split queue cannot have {size} descriptors (2.7)")
        self._table = self._area(self.descriptors, DESCRIPTOR_SIZE * size, 16)
        self._available = self._area(self.driver, 6 + 2 * size, 2).cast("H")
        used = self._area(self.device, 6 + USED_ELEMENT_SIZE * size, 4)
        self._used_words = used.cast("H")
        self._used_elements = used[4:-2].cast("Q")

    def pop(self) -> Chain | None:
        available, following = self._available, self.next_available
        pending = distance(available[_INDEX], following)
        if not pending:
            if not self.event_index:
                return None
            # 2.7.10: say for which chain to kick, then look again, as it may be there already.
            self._used_words[_RING + 4 * self.size] = following
            fence()
            pending = distance(available[_INDEX], following)
            if not pending:
                return None
        if pending > self.size:
            raise QueueError(f"{pending} chains are available in a queue of {self.size}")
        head = available[_RING + (following & self.size - 1)]
        chain = Chain(self.memory, head, _walk(self.tables, self._table, head))
        self.next_available = following + 1 & _WORD
        return chain

    def look(self, ahead: Ahead, room: int) -> None:
        # What drivers give to be filled is mostly single buffers: those here, others one by one.
        available, table, following = self._available, self._table, self.next_available
        last, unpack, view_of = self.size - 1, DESCRIPTOR.unpack_from, self.memory.view
        chains: list[Given] = []
        views: list[memoryview] = []
        length = ahead.length
        left = distance(available[_INDEX], following)
        if left > self.size - len(ahead.chains):
            left = 0
        try:
            while left and length < room:
                head = available[_RING + (following & last)]
                address, size, flags, _ = unpack(table, head * DESCRIPTOR_SIZE)
                if flags != F_WRITE or not size:
                    break
                views.append(view_of(address, size))
                chains.append((head, 1, size))
                length += size
                following += 1
                left -= 1
        except (struct_error, GuestMemoryError):
            pass  # said below
        ahead.add_buffers(chains, views)
        self.next_available = following & _WORD
        super().look(ahead, room)

    def _skip(self, count: int) -> None:
        self.next_available = self.next_available + count & _WORD

    def push_all(self, chains: Sequence[Given]) -> None:
        used = self.next_used
        last = self.size - 1
        elements = self._used_elements
        for head, _, written in chains:
            elements[used & last] = written << _WRITTEN_SHIFT | head
            used += 1
        self._pushed += len(chains)
        self.next_used = used = used & _WORD
        fence()
        self._used_words[_INDEX] = used

    def _is_awaited(self, pushed: int) -> bool:
        if not self.event_index:
            return not self._available[_FLAGS] & NO_INTERRUPT
        # 2.7.10: if the index that the driver named lies among those pushed.
        event = self._available[_RING + self.size]
        return distance(self.next_used, event + 1) < pushed


def _walk(memory: Tables, table: memoryview, head: int) -> list[Element]:
    """Return the elements of the chain that begins with entry ``head`` of ``table``.

    Raises:
        QueueError: if it breaks a rule.
    """
    found: list[Element] = []
    unpack = DESCRIPTOR.unpack_from
    index = head
    entries = left = len(table) // DESCRIPTOR_SIZE
    inside = False
    while True:
        if index >= entries:
            raise QueueError(f"descriptor {index} of a table of {entries}")
        if not left:
            # 2.7.5.2: no loops; a chain has no more descriptors than its table.
            raise QueueError("a chain of descriptors is a loop")
        left -= 1
        address, length, flags, following = unpack(table, index * DESCRIPTOR_SIZE)
        if flags & F_INDIRECT:
            if inside:
                raise QueueError("an indirect table refers to another one (2.7.5.3.1)")
            table = indirect_table(memory, address, length, flags)
            entries = left = len(table) // DESCRIPTOR_SIZE
            index, inside = 0, True
            continue
        found.append((address, length, flags & F_WRITE))
        if not flags & F_NEXT:
            return found
        index = following
