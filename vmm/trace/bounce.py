"""Bounce buffers: the RAM that a device works on while what it reads and writes is recorded.

A device gets views of RAM and hands them on to the host's kernel; nothing could see it read there.
So a recorded device works on RAM of its own, at the same addresses: what it is about to read is
copied in, what it has written is copied out, and each copy is an access of the device. Reads are
taken down before the device looks, so that a guest which changes its RAM meanwhile changes nothing.

In a replay the copies come from the trace, and go nowhere but into a comparison.
"""

from __future__ import annotations

from vmm.devices.virtio.chain import DESCRIPTOR_SIZE, MAX_CHAIN_BYTES, walk
from vmm.devices.virtio.queue import USED_ELEMENT, fence
from vmm.memory import GuestMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final, Protocol

    from vmm.devices.virtio.chain import Chain
    from vmm.devices.virtio.queue import Queue
    from vmm.memory import Buffer, Gpa

    class Exchange(Protocol):
        """The other side of a bounce buffer: the guest's RAM, or a trace."""

        def read(self, gpa: int, view: memoryview) -> None:
            """Fill ``view`` with what the device reads at ``gpa``."""
            ...

        def refresh(self, gpa: int, view: memoryview) -> None:
            """Likewise, but what is in ``view`` already needs no reading."""
            ...

        def write(self, gpa: int, view: memoryview) -> None:
            """Take what the device has written at ``gpa``."""
            ...

        def discard(self, gpa: int, length: int) -> None:
            """Take note that the device has given pages back to the host."""
            ...


# The longest single access; longer ones are several.
MAX_ACCESS: Final = 1 << 20

# Words of the rings: flags and index come first.
_WORD: Final = 2
_RING: Final = 2 * _WORD


class BounceMemory(GuestMemory):
    """RAM of a virtio device's own, at the addresses of the guest's; `BounceQueue` keeps it right.

    Args:
        ranges: (base, size) of each region of the guest's RAM.
        exchange: where what is read comes from, and what is written goes to.
    """

    def __init__(self, ranges: Sequence[tuple[Gpa, int]], exchange: Exchange) -> None:
        super().__init__(ranges)
        self.exchange = exchange

    def fetch(self, gpa: int, length: int) -> memoryview:
        """Copy in what the device reads at ``gpa``."""
        view = GuestMemory.view(self, gpa, length)
        for start in range(0, length, MAX_ACCESS):
            self.exchange.read(gpa + start, view[start : start + MAX_ACCESS])
        return view

    def publish(self, gpa: int, length: int) -> None:
        """Copy out what the device has written at ``gpa``."""
        view = GuestMemory.view(self, gpa, length)
        for start in range(0, length, MAX_ACCESS):
            self.exchange.write(gpa + start, view[start : start + MAX_ACCESS])

    def settle(self) -> None:
        """The device is at rest: copy out what was written without a word."""

    def discard(self, gpa: int, length: int) -> None:
        super().discard(gpa, length)
        self.exchange.discard(gpa, length)


class PeripheralMemory(BounceMemory):
    """The same for a device without queues, which reads and writes where it likes.

    What is done with a view cannot be seen: it counts as read when it is given, and what has
    changed in it as written when the device is at rest again.
    """

    def __init__(self, ranges: Sequence[tuple[Gpa, int]], exchange: Exchange) -> None:
        super().__init__(ranges, exchange)
        self._lent: list[tuple[int, memoryview, bytes]] = []

    def view(self, gpa: int, length: int) -> memoryview:
        view = self.fetch(gpa, length)
        self._lent.append((gpa, view, bytes(view)))
        return view

    def settle(self) -> None:
        lent, self._lent = self._lent, []
        for gpa, view, before in lent:
            if bytes(view) != before:
                self.publish(gpa, len(view))

    def read(self, gpa: int, length: int) -> bytes:
        return bytes(self.fetch(gpa, length))

    def read_u16(self, gpa: int) -> int:
        return int.from_bytes(self.fetch(gpa, 2), "little")

    def read_u32(self, gpa: int) -> int:
        return int.from_bytes(self.fetch(gpa, 4), "little")

    def read_u64(self, gpa: int) -> int:
        return int.from_bytes(self.fetch(gpa, 8), "little")

    def write(self, gpa: int, data: Buffer) -> None:
        source = memoryview(data).cast("B")
        GuestMemory.view(self, gpa, len(source))[:] = source
        self.publish(gpa, len(source))

    def write_u32(self, gpa: int, word: int) -> None:
        self.write(gpa, word.to_bytes(4, "little"))

    def write_u64(self, gpa: int, word: int) -> None:
        self.write(gpa, word.to_bytes(8, "little"))


class BounceQueue:
    """Copies in and out what a queue reads and writes of its rings and of the driver's buffers.

    Of the descriptor table and the ring of heads that is what is new since the device last looked;
    of buffers for the device, all; of those that it fills, as much as it says.
    """

    def __init__(self, queue: Queue, memory: BounceMemory) -> None:
        """Take the place of some methods of ``queue``, which is in ``memory``."""
        self._queue = queue
        self._memory = memory
        self._pop, self._push_all = queue.pop, queue.push_all
        self._wants_interrupt = queue.wants_interrupt
        # By head, the descriptors of chains that the device has.
        self._taken: dict[int, list[tuple[int, int, int]]] = {}
        queue.pop = self._take  # type: ignore[method-assign]
        queue.push_all = self._give_back  # type: ignore[method-assign]
        queue.wants_interrupt = self._ask  # type: ignore[method-assign]

    def _take(self) -> Chain | None:
        queue, memory = self._queue, self._memory
        seen = bytes(memory.fetch(queue.driver, _RING))
        while True:
            self._refresh(queue.driver + _RING, _WORD * queue.size)
            self._refresh(queue.descriptors, DESCRIPTOR_SIZE * queue.size)
            head = queue.next_head()
            if head >= 0:
                self._fetch_buffers(head)
            chain = self._pop()
            if chain is not None:
                # Which also tells what the host reads from what it writes to.
                chain.readable.views = [view.toreadonly() for view in chain.readable.views]
                return chain
            if not queue.event_index:
                return None
            # The driver is told which kick is wanted; then one is no longer due (2.7.10).
            memory.publish(self._used_element(queue.size), _WORD)
            fence()
            before, seen = seen, bytes(memory.fetch(queue.driver, _RING))
            if seen == before:
                return None

    def _give_back(self, chains: Sequence[tuple[Chain, int]]) -> None:
        queue, memory = self._queue, self._memory
        for chain, written in chains:
            left = written
            for address, length, writable in self._taken.pop(chain.head, ()):
                if writable:
                    filled = min(left, length)
                    left -= filled
                    memory.publish(address, filled)
                    self._publish_beyond(address + filled, length - filled)
        self._push_all(chains)
        index = queue.device + _WORD
        end = memory.read_u16(index)
        for pushed in range(end - len(chains), end):
            memory.publish(self._used_element(pushed & queue.size - 1), USED_ELEMENT.size)
        fence()
        memory.publish(index, _WORD)

    def _ask(self) -> bool:
        queue = self._queue
        used_event = queue.driver + _RING + _WORD * queue.size
        self._memory.fetch(used_event if queue.event_index else queue.driver, _WORD)
        return self._wants_interrupt()

    def _used_element(self, index: int) -> int:
        return self._queue.device + _RING + USED_ELEMENT.size * index

    def _refresh(self, gpa: int, length: int) -> None:
        self._memory.exchange.refresh(gpa, self._memory.view(gpa, length))

    def _fetch_buffers(self, head: int) -> None:
        """Fetch what the chain at ``head`` has for the device, and clear what it is to fill.

        Cleared, it is the same in a replay, whatever the guest has left there.
        """
        memory, queue = self._memory, self._queue
        table = memory.view(queue.descriptors, DESCRIPTOR_SIZE * queue.size)
        buffers = [buffer for buffer in walk(_Tables(memory), table, head) if buffer[1]]
        inside = all(memory.contains(address, length) for address, length, _ in buffers)
        if not inside or sum(length for _, length, _ in buffers) > MAX_CHAIN_BYTES:
            return  # the queue says so itself
        for address, length, writable in buffers:
            if writable:
                for piece in _pieces(memory.view(address, length)):
                    piece[:] = bytes(len(piece))
        for address, length, writable in buffers:
            if not writable:
                memory.fetch(address, length)
        self._taken[head] = buffers

    def _publish_beyond(self, address: int, length: int) -> None:
        """Publish what was written behind what the device says that it has written."""
        for piece in _pieces(self._memory.view(address, length)):
            content = bytes(piece).rstrip(b"\0")
            start = len(content) - len(content.lstrip(b"\0"))
            self._memory.publish(address + start, len(content) - start)
            address += len(piece)


class _Tables:
    """RAM in which indirect tables are fetched when they are looked at."""

    def __init__(self, memory: BounceMemory) -> None:
        self.view = memory.fetch


def _pieces(view: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(view), MAX_ACCESS):
        yield view[start : start + MAX_ACCESS]
