"""Virtqueues in guest RAM from the device's side: what split and packed ones have in common.

How a device uses one::

    for chain in queue:                            # until nothing is available
        request = chain.readable.read(16)          # or .take(n): views, not copies
        written = chain.writable.write(answer)
        queue.push(chain, written)
    if queue.wants_interrupt():
        ...

Everything that a driver can do wrong raises `QueueError` and nothing else.

What both sides look at is read and written through views of 16 or 32 bits, which makes each access
a single one on the host, as the other side may look at any time.
"""

from __future__ import annotations

from _thread import allocate_lock

from vmm.devices.device import Device, internal
from vmm.devices.virtio.ahead import Ahead
from vmm.devices.virtio.chain import QueueError
from vmm.errors import GuestMemoryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from vmm.devices.virtio.ahead import Given
    from vmm.devices.virtio.chain import Chain, Tables
    from vmm.memory import GuestMemory

_barrier: Final = allocate_lock()


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
        descriptors: guest-physical address of the descriptor area (2.6).
        driver: of the driver area.
        device: of the device area.
        next_available: where in its ring the next chain will be available.
        next_used: where in its ring the next chain will be given back.
        memory: the guest's RAM.
        tables: the same, for indirect tables.
    """

    size = internal(0)
    ready = internal(False)
    event_index = internal(False)
    descriptors = internal(0)
    driver = internal(0)
    device = internal(0)
    next_available = internal(0)
    next_used = internal(0)
    # How far `next_used` has come since the driver was last thought of.
    _pushed = internal(0)

    def __init__(self, memory: GuestMemory, max_size: int) -> None:
        """Make a queue of up to ``max_size`` descriptors, a power of two up to 32768."""
        self.max_size = max_size
        self.memory = memory
        self.tables: Tables = memory
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.size = self.max_size
        self.usable = self.unfinished = False
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
            QueueError: if size, place or alignment is wrong.
        """
        self._forget()
        if not 0 < self.size <= self.max_size:
            raise QueueError(f"a queue cannot have {self.size} descriptors")
        self._map()
        self.usable = True

    def _area(self, address: int, length: int, alignment: int) -> memoryview:
        """Return a view of an area, or raise `QueueError`."""
        if address % alignment:
            raise QueueError("an area of a queue is not aligned")
        try:
            return self.memory.view(address, length)
        except GuestMemoryError as error:
            raise QueueError(f"an area of a queue at {error}") from None

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
        chain = self.pop()
        if chain is not None:
            self.undo_pop(chain)
            self.unfinished = True

    def undo_pop(self, chain: Chain) -> None:
        """Give back ``chain``, of those not given back the last taken, as if it had not been."""
        self._skip(-chain.count)

    def peek(self, room: int) -> Ahead:
        """Return the next available chains, without taking them: enough for ``room`` bytes, or all.

        They are looked up once, however often they are returned before `take` takes them. Not for
        a queue that is served by `pop`.

        Raises:
            QueueError: if the driver broke a rule.
        """
        ahead = self._ahead
        if ahead.length < room:
            self._skip(ahead.entries)
            try:
                self.look(ahead, room)
            finally:
                self._skip(-ahead.entries)
        return ahead

    def look(self, ahead: Ahead, room: int) -> None:
        """Move chains from the ring to ``ahead`` until that has room for ``room`` bytes."""
        # A driver that runs meanwhile could go on giving for ever.
        while ahead.length < room and len(ahead.chains) < self.size:
            chain = self.pop()
            if chain is None:
                break
            ahead.add(chain)

    def look_by_pop(self) -> None:
        """Look ahead by `pop` alone: for who has put something in its place."""

        def look(ahead: Ahead, room: int) -> None:
            Queue.look(self, ahead, room)

        self.look = look  # type: ignore[method-assign]

    def take(self, length: int) -> list[Given]:
        """Take the first chains of the last `peek`, as many as ``length`` bytes fill.

        Returns them as they are to be given back; see `Ahead.take`.
        """
        entries = self._ahead.entries
        taken = self._ahead.take(length)
        self._skip(entries - self._ahead.entries)
        return taken

    def _forget(self) -> None:
        # What is at `next_available` and behind it, for `peek`.
        self._ahead = Ahead()

    def push(self, chain: Chain, written: int) -> None:
        """Give ``chain`` back with ``written`` bytes at the front of its writable part (2.7.8)."""
        self.push_all([(chain.head, chain.count, written)])

    def wants_interrupt(self) -> bool:
        """Tell whether the driver is to be interrupted for what was pushed since the last call."""
        pushed, self._pushed = self._pushed, 0
        if not pushed:
            return False
        fence()
        return self._is_awaited(pushed)

    # ---- What a layout of the rings fills in ----

    def _map(self) -> None:
        """Find the areas of a queue of a size that may be, or raise `QueueError`."""
        raise NotImplementedError

    def pop(self) -> Chain | None:
        """Take the next chain that the driver made available, if there is one.

        With an event index, the driver is asked to kick for the next one when there is none.

        Raises:
            QueueError: if the driver broke a rule.
        """
        raise NotImplementedError

    def _skip(self, count: int) -> None:
        """Move `next_available` ``count`` entries on; at most as many as there are, or back."""
        raise NotImplementedError

    def push_all(self, chains: Sequence[Given]) -> None:
        """Give several back, such that the driver sees either none of them or all."""
        raise NotImplementedError

    def _is_awaited(self, pushed: int) -> bool:
        """Tell whether the driver waits for one of the last ``pushed`` entries to be used."""
        raise NotImplementedError
