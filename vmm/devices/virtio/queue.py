"""Split virtqueues (section 2.7) in guest RAM, from the device's side.

How a device uses one::

    for chain in queue:                            # until nothing is available
        request = chain.readable.read(16)          # or .take(n): views, not copies
        written = chain.writable.write(answer)
        queue.push(chain, written)
    if queue.wants_interrupt():
        ...

Everything that a driver can do wrong raises `QueueError` and nothing else. Indices of the rings
are 16-bit words that wrap around; `distance` is the only arithmetic on them.

The rings' words are read and written through 16-bit views, which makes each access a single one on
the host, as the other side may look at any time.
"""

from __future__ import annotations

from _thread import allocate_lock
from struct import Struct

from vmm.devices.device import Device, internal
from vmm.devices.virtio.chain import DESCRIPTOR, Chain, QueueError, walk
from vmm.errors import GuestMemoryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from vmm.memory import GuestMemory

# struct virtq_used_elem: head of the chain, bytes written (2.7.8).
USED_ELEMENT: Final = Struct("<II")

# virtq_avail.flags
NO_INTERRUPT: Final = 1

# Both rings begin with flags and idx; the available ring's entries follow as words.
_FLAGS: Final = 0
_INDEX: Final = 1
_RING: Final = 2

_WORD: Final = 0xFFFF

_barrier: Final = allocate_lock()


def distance(later: int, earlier: int) -> int:
    """Return how many steps the index ``later`` is ahead of ``earlier``."""
    return later - earlier & _WORD


def fence() -> None:
    """Let memory accesses before this be seen before those after it: a lock does that."""
    with _barrier:
        pass


class Queue(Device):
    """One virtqueue; the transport sets it up, the device serves it.

    Attributes:
        max_size: how many descriptors it may have.
        size: how many the driver chose.
        ready: the driver has set it up.
        usable: it is ready, and its areas lie in RAM.
        unfinished: the last iteration left chains that are available.
        event_index: VIRTIO_F_EVENT_IDX was negotiated.
        descriptors: guest-physical address of the descriptor table.
        driver: of the available ring.
        device: of the used ring.
    """

    size = internal(0)
    ready = internal(False)
    event_index = internal(False)
    descriptors = internal(0)
    driver = internal(0)
    device = internal(0)
    _next_available = internal(0)
    _next_used = internal(0)
    _signalled = internal(0)

    def __init__(self, memory: GuestMemory, max_size: int) -> None:
        """Make a queue of up to ``max_size`` descriptors, a power of two up to 32768."""
        self.max_size = max_size
        self._memory = memory
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.size = self.max_size
        self.usable = self.unfinished = False
        self._table = self._used = memoryview(b"")
        self._available = self._used_words = self._table.cast("H")
        self._forget()

    def loaded(self) -> None:
        self.usable = False
        if self.ready:
            try:
                self.map()
            except QueueError:
                pass  # the device was saved when it needed a reset

    def map(self) -> None:
        """Find the three areas in RAM, once the driver has said where they are.

        Raises:
            QueueError: if size, place or alignment is wrong (2.7).
        """
        self._forget()
        size = self.size
        if not 0 < size <= self.max_size or size & (size - 1):
            raise QueueError(f"a queue cannot have {size} descriptors")
        if self.descriptors % 16 or self.driver % 2 or self.device % 4:
            raise QueueError("an area of a queue is not aligned")
        try:
            self._table = self._memory.view(self.descriptors, DESCRIPTOR.size * size)
            self._available = self._memory.view(self.driver, 6 + 2 * size).cast("H")
            self._used = self._memory.view(self.device, 6 + USED_ELEMENT.size * size)
        except GuestMemoryError as error:
            raise QueueError(f"an area of a queue at {error}") from None
        self._used_words = self._used.cast("H")
        self.usable = True

    def __iter__(self) -> Iterator[Chain]:
        """Take chains until none is available, or as many as there are descriptors were taken.

        A driver that runs meanwhile could go on giving for ever. `unfinished` tells.
        """
        self.unfinished = False
        for _ in range(self.size):
            chain = self.pop()
            if chain is None:
                return
            yield chain
        if self.pop() is not None:
            self.undo_pop()
            self.unfinished = True

    def pop(self) -> Chain | None:
        """Take the next chain that the driver made available, if there is one.

        With an event index, the driver is asked to kick for the next one when there is none.

        Raises:
            QueueError: if the driver broke a rule.
        """
        available, following = self._available, self._next_available
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
        if head >= self.size:
            raise QueueError(f"descriptor {head} of a table of {self.size}")
        chain = Chain(self._memory, self._table, head)
        self._next_available = following + 1 & _WORD
        return chain

    def peek(self, room: int) -> list[Chain]:
        """Return the next available chains, without taking them: enough for ``room`` bytes, or all.

        They are looked up once, however often they are returned before `take` takes them. Not for
        a queue that is served by `pop`.

        Raises:
            QueueError: if the driver broke a rule.
        """
        seen = self._seen
        self._next_available = self._next_available + len(seen) & _WORD
        try:
            # A driver that runs meanwhile could go on giving for ever.
            while self._room < room and len(seen) < self.size:
                chain = self.pop()
                if chain is None:
                    break
                seen.append(chain)
                self._room += chain.writable.length
        finally:
            self._next_available = self._next_available - len(seen) & _WORD
        return seen

    def take(self, count: int) -> list[Chain]:
        """Take the first ``count`` chains of the last `peek`."""
        taken = self._seen[:count]
        del self._seen[:count]
        self._room -= sum([chain.writable.length for chain in taken])
        self._next_available = self._next_available + count & _WORD
        return taken

    def _forget(self) -> None:
        # Chains at `_next_available` and behind it, for `peek`, and how many bytes they hold.
        self._seen: list[Chain] = []
        self._room = 0

    def next_head(self) -> int:
        """Return the head of the chain that `pop` takes next, or -1. For traces."""
        available, following = self._available, self._next_available
        if not 0 < distance(available[_INDEX], following) <= self.size:
            return -1
        return available[_RING + (following & self.size - 1)]

    def describe(self, head: int) -> list[tuple[int, int, bool]]:
        """Return the descriptors of the chain at ``head``: address, length, device-writable.

        For traces: a driver may have changed them since the chain was taken.
        """
        try:
            walked = walk(self._memory, self._table, head)
        except QueueError:
            return []
        return [(address, length, bool(writable)) for address, length, writable in walked]

    def undo_pop(self) -> None:
        """Give back the chain of the last `pop`, as if it had not been taken."""
        self._next_available = self._next_available - 1 & _WORD

    def push(self, chain: Chain, written: int) -> None:
        """Give ``chain`` back with ``written`` bytes at the front of its writable part (2.7.8)."""
        self.push_all([(chain, written)])

    def push_all(self, chains: Sequence[tuple[Chain, int]]) -> None:
        """Give several back, such that the driver sees either none of them or all."""
        used = self._next_used
        last = self.size - 1
        for chain, written in chains:
            place = 4 + USED_ELEMENT.size * (used & last)
            USED_ELEMENT.pack_into(self._used, place, chain.head, written)
            used += 1
        self._next_used = used = used & _WORD
        fence()
        self._used_words[_INDEX] = used

    def wants_interrupt(self) -> bool:
        """Tell whether the driver is to be interrupted for what was pushed since the last call."""
        used, before = self._next_used, self._signalled
        if used == before:
            return False
        self._signalled = used
        fence()
        if not self.event_index:
            return not self._available[_FLAGS] & NO_INTERRUPT
        # 2.7.10: if the index that the driver named lies among those pushed.
        event = self._available[_RING + self.size]
        return distance(used, event + 1) < distance(used, before)
