"""What passes between a virtqueue and the guest's RAM, for a device with RAM of its own.

Of its rings that is what is new since the device last looked; of buffers for the device, all; of
those that it fills, as much as it says.
"""

from __future__ import annotations

from vmm.devices.virtio.chain import DESCRIPTOR_SIZE
from vmm.devices.virtio.packed import EVENT_SIZE, USED, USED_AT, PackedQueue
from vmm.devices.virtio.queue import fence
from vmm.devices.virtio.split import USED_ELEMENT_SIZE, SplitQueue
from vmm.trace.bounce import MAX_ACCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from vmm.devices.virtio.ahead import Given
    from vmm.devices.virtio.chain import Chain
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.devices.virtio.queue import Queue
    from vmm.trace.bounce import BounceMemory

# Words of a split queue's rings: flags and index come first.
_WORD: Final = 2
_RING: Final = 2 * _WORD

# A packed queue's descriptors end with their flags.
_USED_FLAGS_AT: Final = USED_AT + USED.size


def bounce_queues(device: VirtioDevice, memory: BounceMemory) -> None:
    """Copy in and out what the queues of ``device``, which is on ``memory``, read and write."""
    for queue in device.queues:
        if isinstance(queue, SplitQueue):
            _BounceSplit(queue, memory)
        elif isinstance(queue, PackedQueue):
            _BouncePacked(queue, memory)


class _Bounce:
    """Stands between a device and its queue."""

    def __init__(self, queue: Queue, memory: BounceMemory) -> None:
        """Take the place of some methods of ``queue``, which is in ``memory``."""
        self._memory = memory
        self._pop, self._push_all = queue.pop, queue.push_all
        self._wants_interrupt = queue.wants_interrupt
        # By head, the chains that the device has.
        self._taken: dict[int, Chain] = {}
        queue.tables = _Tables(memory)
        queue.look_by_pop()
        queue.pop = self._take  # type: ignore[method-assign]
        queue.push_all = self._give_back  # type: ignore[method-assign]
        queue.wants_interrupt = self._ask  # type: ignore[method-assign]

    def _take(self) -> Chain | None:
        raise NotImplementedError

    def _give_back(self, chains: Sequence[Given]) -> None:
        raise NotImplementedError

    def _ask(self) -> bool:
        raise NotImplementedError

    def _refresh(self, gpa: int, length: int) -> None:
        self._memory.exchange.refresh(gpa, self._memory.view(gpa, length))

    def _fetch_buffers(self, chain: Chain) -> Chain:
        """Fetch what ``chain`` has for the device, and clear what it is to fill.

        Cleared, it is the same in a replay, whatever the guest has left there.
        """
        memory = self._memory
        buffers = [element for element in chain.elements if element[1]]
        for address, length, writable in buffers:
            if writable:
                for piece in _pieces(memory.view(address, length)):
                    piece[:] = bytes(len(piece))
        for address, length, writable in buffers:
            if not writable:
                memory.fetch(address, length)
        self._taken[chain.head] = chain
        # Which also tells what the host reads from what it writes to.
        chain.readable.views = [view.toreadonly() for view in chain.readable.views]
        return chain

    def _publish_buffers(self, head: int, written: int) -> None:
        """Publish what the chain ``head`` was filled with."""
        taken = self._taken.pop(head, None)
        for address, length, writable in () if taken is None else taken.elements:
            if writable and length:
                filled = min(written, length)
                written -= filled
                self._memory.publish(address, filled)
                self._publish_beyond(address + filled, length - filled)

    def _publish_beyond(self, address: int, length: int) -> None:
        """Publish what was written behind what the device says that it has written."""
        for piece in _pieces(self._memory.view(address, length)):
            content = bytes(piece).rstrip(b"\0")
            start = len(content) - len(content.lstrip(b"\0"))
            self._memory.publish(address + start, len(content) - start)
            address += len(piece)


class _BounceSplit(_Bounce):
    def __init__(self, queue: SplitQueue, memory: BounceMemory) -> None:
        self._queue = queue
        super().__init__(queue, memory)

    def _take(self) -> Chain | None:
        queue, memory = self._queue, self._memory
        seen = bytes(memory.fetch(queue.driver, _RING))
        while True:
            self._refresh(queue.driver + _RING, _WORD * queue.size)
            self._refresh(queue.descriptors, DESCRIPTOR_SIZE * queue.size)
            chain = self._pop()
            if chain is not None:
                return self._fetch_buffers(chain)
            if not queue.event_index:
                return None
            # The driver is told which kick is wanted; then one is no longer due (2.7.10).
            memory.publish(self._used_element(queue.size), _WORD)
            fence()
            before, seen = seen, bytes(memory.fetch(queue.driver, _RING))
            if seen == before:
                return None

    def _give_back(self, chains: Sequence[Given]) -> None:
        queue, memory = self._queue, self._memory
        for head, _, written in chains:
            self._publish_buffers(head, written)
        start = queue.next_used
        self._push_all(chains)
        for pushed in range(start, start + len(chains)):
            memory.publish(self._used_element(pushed & queue.size - 1), USED_ELEMENT_SIZE)
        fence()
        memory.publish(queue.device + _WORD, _WORD)

    def _ask(self) -> bool:
        queue = self._queue
        used_event = queue.driver + _RING + _WORD * queue.size
        self._memory.fetch(used_event if queue.event_index else queue.driver, _WORD)
        return self._wants_interrupt()

    def _used_element(self, index: int) -> int:
        return self._queue.device + _RING + USED_ELEMENT_SIZE * index


class _BouncePacked(_Bounce):
    def __init__(self, queue: PackedQueue, memory: BounceMemory) -> None:
        self._queue = queue
        super().__init__(queue, memory)

    def _take(self) -> Chain | None:
        queue, memory = self._queue, self._memory
        if not self._look() and queue.event_index:
            # This finds nothing, and asks for a kick (2.8.10). Then one is no longer due.
            self._pop()
            memory.publish(queue.device, EVENT_SIZE)
            fence()
            self._look()
        chain = self._pop() if queue.is_available() else None
        return None if chain is None else self._fetch_buffers(chain)

    def _look(self) -> bool:
        """Copy what is new of the ring; tell whether that is a chain."""
        queue = self._queue
        length = DESCRIPTOR_SIZE * queue.size
        self._refresh(queue.descriptors, length)
        if not queue.is_available():
            return False
        # The driver writes the flags last: what was copied just before them may be old.
        fence()
        self._refresh(queue.descriptors, length)
        return True

    def _give_back(self, chains: Sequence[Given]) -> None:
        queue, memory = self._queue, self._memory
        position = first = queue.next_used
        for head, _, written in chains:
            self._publish_buffers(head, written)
        self._push_all(chains)
        for _, count, _ in chains:
            if position != first:
                memory.publish(self._descriptor(position) + USED_AT, USED.size + _WORD)
            position = queue.advance(position, count)
        memory.publish(self._descriptor(first) + USED_AT, USED.size)
        fence()
        memory.publish(self._descriptor(first) + _USED_FLAGS_AT, _WORD)

    def _ask(self) -> bool:
        self._memory.fetch(self._queue.driver, EVENT_SIZE)
        return self._wants_interrupt()

    def _descriptor(self, position: int) -> int:
        return self._queue.descriptors + DESCRIPTOR_SIZE * (position % self._queue.size)


class _Tables:
    """RAM in which indirect tables are fetched when they are looked at."""

    def __init__(self, memory: BounceMemory) -> None:
        self.view = memory.fetch


def _pieces(view: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(view), MAX_ACCESS):
        yield view[start : start + MAX_ACCESS]
