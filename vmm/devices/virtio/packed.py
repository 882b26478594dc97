"""Packed virtqueues (section 2.8): one ring of descriptors, which each side writes in its turn.

Whose turn it is, two flags of a descriptor tell together with a wrap counter, which changes each
time around. A position here counts the descriptors of both times: 0 up to the queue's size with a
wrap counter of 1, from there up to twice the size with 0.
"""

from __future__ import annotations

from struct import Struct

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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from vmm.devices.virtio.ahead import Given
    from vmm.devices.virtio.chain import Element

# Further flags of a descriptor (2.8.1). One is set in an available one, which of them is up to the
# wrap counter; both or none of them in a used one.
F_AVAIL: Final = 1 << 7
F_USED: Final = 1 << 15
_STATE: Final = F_AVAIL | F_USED

_unpack: Final = DESCRIPTOR.unpack_from

# The end of a used descriptor: bytes written, buffer ID; then come the flags.
USED: Final = Struct("<IH")
USED_AT: Final = DESCRIPTOR_SIZE - USED.size - 2
_WORDS: Final = DESCRIPTOR_SIZE // 2
_FLAGS: Final = _WORDS - 1

# struct pvirtq_event_suppress as one word: a descriptor, its wrap counter, and whether to notify
# of each one, of none, or of this one (2.8.14).
EVENT_SIZE: Final = 4
EVENT_OFFSET: Final = 0x7FFF
EVENT_WRAP: Final = 1 << 15
EVENT_FLAGS: Final = 3 << 16
EVENT_DISABLE: Final = 1 << 16
EVENT_DESCRIPTOR: Final = 2 << 16


class PackedQueue(Queue):
    """A packed virtqueue; its driver and device areas are structures for event suppression.

    `next_available` and `next_used` are positions.
    """

    def reset(self) -> None:
        super().reset()
        self._ring = memoryview(b"")
        self._words = self._ring.cast("H")
        self._driver_event = self._device_event = self._ring.cast("I")

    def _map(self) -> None:
        if max(self.next_available, self.next_used) >= 2 * self.size:
            raise QueueError("a queue got smaller than what is in it")
        self._ring = self._area(self.descriptors, DESCRIPTOR_SIZE * self.size, 16)
        self._words = self._ring.cast("H")
        self._driver_event = self._area(self.driver, EVENT_SIZE, 4).cast("I")
        self._device_event = self._area(self.device, EVENT_SIZE, 4).cast("I")

    def is_available(self) -> bool:
        """Tell whether the driver has made the next descriptor available."""
        position, size = self.next_available, self.size
        slot, state = (position, F_AVAIL) if position < size else (position - size, F_USED)
        return self._words[_WORDS * slot + _FLAGS] & _STATE == state

    def pop(self) -> Chain | None:
        position, size = self.next_available, self.size
        slot, state = (position, F_AVAIL) if position < size else (position - size, F_USED)
        flags_at = _WORDS * slot + _FLAGS
        if self._words[flags_at] & _STATE != state:
            if not self.event_index:
                return None
            # 2.8.10: say for which descriptor to kick, then look again.
            wrap = EVENT_WRAP if state == F_AVAIL else 0
            self._device_event[0] = slot | wrap | EVENT_DESCRIPTOR
            fence()
            if self._words[flags_at] & _STATE != state:
                return None
        # The flags of a chain's first descriptor are the last that a driver writes of it.
        fence()
        head, elements, count = self._walk(slot, state)
        chain = Chain(self.memory, head, elements, count)
        self.next_available = (position + count) % (2 * size)
        return chain

    def _skip(self, count: int) -> None:
        self.next_available = self.advance(self.next_available, count)

    def push_all(self, chains: Sequence[Given]) -> None:
        position, size = self.next_used, self.size
        flags = []
        for head, count, written in chains:
            if position < size:
                slot, state = position, _STATE
            else:
                slot, state = position - size, 0
            USED.pack_into(self._ring, DESCRIPTOR_SIZE * slot + USED_AT, written, head)
            flags.append((_WORDS * slot + _FLAGS, state | F_WRITE if written else state))
            self._pushed += count
            position = (position + count) % (2 * size)
        self.next_used = position
        # 2.8.9: the first one last, as that is where the driver looks.
        for place, state in flags[1:]:
            self._words[place] = state
        fence()
        place, state = flags[0]
        self._words[place] = state

    def advance(self, position: int, count: int) -> int:
        """Return the position ``count`` descriptors, as many as there are at most, later."""
        return (position + count) % (2 * self.size)

    def _is_awaited(self, pushed: int) -> bool:
        event = self._driver_event[0]
        flags = event & EVENT_FLAGS
        if flags != EVENT_DESCRIPTOR or not self.event_index:
            return flags != EVENT_DISABLE
        # 2.8.10: if the descriptor that the driver named lies among those used or skipped.
        awaited = event & EVENT_OFFSET
        if not event & EVENT_WRAP:
            awaited += self.size
        return self.advance(self.next_used, -1 - awaited) < pushed

    def _walk(self, slot: int, state: int) -> tuple[int, list[Element], int]:
        """Return buffer ID, elements and number of descriptors of the next chain.

        Raises:
            QueueError: if it breaks a rule.
        """
        size, ring = self.size, self._ring
        # 2.8.17: no loops; and what the device has not given back cannot be available.
        left = size - (self.next_available - self.next_used) % (2 * size)
        elements: list[Element] = []
        count = 0
        while True:
            if count >= left:
                raise QueueError(f"more descriptors are available than a queue of {size} has")
            address, length, head, flags = _unpack(ring, DESCRIPTOR_SIZE * slot)
            if flags & _STATE != state:
                raise QueueError("a chain goes on in a descriptor that is not available (2.8.17)")
            count += 1
            if flags & F_INDIRECT:
                if elements:
                    raise QueueError("an indirect descriptor follows a direct one (2.8.5)")
                return head, self._indirect(address, length, flags), count
            elements.append((address, length, flags & F_WRITE))
            if not flags & F_NEXT:
                return head, elements, count
            slot += 1
            if slot == size:
                slot, state = 0, state ^ _STATE

    def _indirect(self, address: int, length: int, flags: int) -> list[Element]:
        """Return the elements of an indirect table, all of it in order (2.8.7).

        Other flags there than F_WRITE are ignored.
        """
        table = indirect_table(self.tables, address, length, flags)
        return [(a, n, f & F_WRITE) for a, n, _, f in DESCRIPTOR.iter_unpack(table)]
