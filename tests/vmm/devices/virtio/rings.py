"""The driver's side of virtqueues: real rings in real guest memory, split and packed ones.

They place everything where they say and check nothing: hostile drivers are made from them too, by
writing to their areas with `GuestMemory.write`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from struct import pack, unpack
from typing import Self

from vmm.memory import Gpa, GuestMemory

NEXT, WRITE, INDIRECT, AVAIL, USED = 1, 2, 4, 1 << 7, 1 << 15

Buffer = tuple[int, int, bool]  # address, length, device-writable


@dataclass(frozen=True)
class Used:
    """A chain that the device has given back."""

    head: int
    length: int


class DriverQueue(ABC):
    """A virtqueue, its three areas at the start of ``base``; buffers follow.

    Attributes:
        descriptors: address of the descriptor area.
        available: of the driver area.
        used: of the device area.
        next_available: index (packed: position) of the next chain to offer.
        next_used: of the next chain to take back.
    """

    def __init__(self, memory: GuestMemory, base: int, size: int, room: int = 1 << 19) -> None:
        self.memory = memory
        self.size = size
        self.descriptors = base
        self.available = base + 16 * size
        self.next_available = 0
        self.next_used = 0
        self.used, end = self._place()
        self._buffers = end + 15 & ~15
        self._end = base + room
        self._free = list(range(size))
        self._chains: dict[int, list[int]] = {}

    def copied_to(self, memory: GuestMemory) -> Self:
        """Return one that goes on alike on a copy of the RAM."""
        twin = type(self).__new__(type(self))
        twin.memory = memory
        twin.__dict__.update(deepcopy({k: v for k, v in vars(self).items() if k != "memory"}))
        return twin

    def allocate(self, length: int, content: bytes = b"") -> int:
        """Return the address of a new buffer."""
        address = self._buffers
        self._buffers += length + 15 & ~15
        assert self._buffers <= self._end, "the queue's share of RAM is used up"
        self.memory.write(Gpa(address), content)
        return address

    def offer(self, buffers: Sequence[Buffer], *, indirect: bool = False) -> int:
        """Make a chain of ``buffers`` available and return its head."""
        if indirect:
            table = b"".join(
                self._pack(address, length, WRITE * writable, index, len(buffers))
                for index, (address, length, writable) in enumerate(buffers)
            )
            head = self._free.pop(0)
            self._chains[head] = [head]
            self.describe(head, self.allocate(len(table), table), len(table), INDIRECT)
        else:
            indices = [self._free.pop(0) for _ in buffers]
            head = indices[0]
            self._chains[head] = indices
            for index, following, (address, length, writable) in zip(
                indices, [*indices[1:], None], buffers, strict=True
            ):
                flags = WRITE * writable | (0 if following is None else NEXT)
                self.describe(index, address, length, flags, following or 0)
        self.publish(head)
        return head

    def take(self) -> Used | None:
        """Take back the next chain, if there is one."""
        used = self._take()
        if used is not None:
            self._free += self._chains.pop(used.head, [])
        return used

    @abstractmethod
    def _place(self) -> tuple[int, int]:
        """Return where the device area begins and ends, behind the others."""

    @abstractmethod
    def _pack(self, address: int, length: int, flags: int, index: int, count: int) -> bytes:
        """Return entry ``index`` of an indirect table that is a chain of ``count``."""

    @abstractmethod
    def _take(self) -> Used | None: ...

    @abstractmethod
    def describe(
        self, index: int, address: int, length: int, flags: int = 0, following: int = 0
    ) -> None:
        """Write descriptor ``index``, with the one that follows it if NEXT is among ``flags``."""

    @abstractmethod
    def publish(self, head: int) -> None:
        """Make available the chain that begins with descriptor ``head``."""

    @property
    @abstractmethod
    def used_index(self) -> int:
        """How far the device has come: `next_used` once everything is taken."""

    @property
    @abstractmethod
    def available_event(self) -> int:
        """For which `next_available` the device wants to be kicked."""

    @abstractmethod
    def set_used_event(self, index: int) -> None:
        """Ask for an interrupt when the device gets past ``index``."""

    @abstractmethod
    def set_quiet(self, quiet: bool) -> None:
        """Ask for no interrupts, or for one each time, without an event index."""


class SplitDriverQueue(DriverQueue):
    """A split virtqueue."""

    def _place(self) -> tuple[int, int]:
        used = self.available + 6 + 2 * self.size + 3 & ~3
        return used, used + 6 + 8 * self.size

    def _pack(self, address: int, length: int, flags: int, index: int, count: int) -> bytes:
        following = NEXT if index < count - 1 else 0
        return pack("<QIHH", address, length, flags | following, index + 1)

    def describe(
        self, index: int, address: int, length: int, flags: int = 0, following: int = 0
    ) -> None:
        place = Gpa(self.descriptors + 16 * index)
        self.memory.write(place, pack("<QIHH", address, length, flags, following))

    def publish(self, head: int) -> None:
        place = self.available + 4 + 2 * (self.next_available % self.size)
        self.memory.write(Gpa(place), pack("<H", head))
        self.next_available = self.next_available + 1 & 0xFFFF
        self.memory.write(Gpa(self.available + 2), pack("<H", self.next_available))

    def _take(self) -> Used | None:
        if self.used_index == self.next_used:
            return None
        place = self.used + 4 + 8 * (self.next_used % self.size)
        self.next_used = self.next_used + 1 & 0xFFFF
        return Used(*unpack("<II", self.memory.read(Gpa(place), 8)))

    @property
    def used_index(self) -> int:
        return self.memory.read_u16(Gpa(self.used + 2))

    @property
    def available_event(self) -> int:
        return self.memory.read_u16(Gpa(self.used + 4 + 8 * self.size))

    def set_used_event(self, index: int) -> None:
        self.memory.write(Gpa(self.available + 4 + 2 * self.size), pack("<H", index))

    def set_quiet(self, quiet: bool) -> None:
        self.memory.write(Gpa(self.available), pack("<H", quiet))


class PackedDriverQueue(DriverQueue):
    """A packed virtqueue.

    A position is a place in the ring, plus the queue's size while the wrap counter is 0.
    Descriptors get into the ring when they are published; until then they are the driver's own.
    """

    DISABLE, DESCRIPTOR = 1, 2  # flags of event suppression

    def __init__(self, memory: GuestMemory, base: int, size: int, room: int = 1 << 19) -> None:
        self._described: dict[int, tuple[int, int, int, int]] = {}
        self._counts: dict[int, int] = {}
        super().__init__(memory, base, size, room)

    def _place(self) -> tuple[int, int]:
        used = self.available + 4
        return used, used + 4

    def _pack(self, address: int, length: int, flags: int, index: int, count: int) -> bytes:
        return pack("<QIHH", address, length, 0, flags)

    def advance(self, position: int, count: int) -> int:
        """Return the position ``count`` descriptors later."""
        return (position + count) % (2 * self.size)

    def place(self, position: int) -> int:
        """Return the address of the descriptor at ``position``."""
        return self.descriptors + 16 * (position % self.size)

    def available_flags(self, position: int) -> int:
        """Return the flags by which the descriptor at ``position`` is available."""
        return AVAIL if position < self.size else USED

    def describe(
        self, index: int, address: int, length: int, flags: int = 0, following: int = 0
    ) -> None:
        self._described[index] = (address, length, flags, following)

    def publish(self, head: int) -> None:
        # A chain that is a loop goes once around.
        index, chain = head, []
        while len(chain) < self.size:
            address, length, flags, following = self._described.get(index, (0, 0, 0, 0))
            chain.append((address, length, flags))
            if not flags & NEXT:
                break
            index = following
        self._counts[head] = len(chain)
        # The first descriptor last.
        for number, (address, length, flags) in reversed(list(enumerate(chain))):
            position = self.advance(self.next_available, number)
            self.write_descriptor(
                position, address, length, head, flags | self.available_flags(position)
            )
        self.next_available = self.advance(self.next_available, len(chain))

    def write_descriptor(
        self, position: int, address: int, length: int, head: int, flags: int
    ) -> None:
        """Write into the ring, available or not."""
        content = pack("<QIHH", address, length, head, flags)
        self.memory.write(Gpa(self.place(position)), content)

    def _take(self) -> Used | None:
        _, length, head, flags = self._read(self.next_used)
        state = AVAIL | USED if self.next_used < self.size else 0
        if flags & (AVAIL | USED) != state:
            return None
        self.next_used = self.advance(self.next_used, self._counts.get(head, 1))
        return Used(head, length)

    def _read(self, position: int) -> tuple[int, int, int, int]:
        address, length, head, flags = unpack(
            "<QIHH", self.memory.read(Gpa(self.place(position)), 16)
        )
        return address, length, head, flags

    @property
    def used_index(self) -> int:
        ahead = self.copied_to(self.memory)
        while ahead.next_used != ahead.next_available and ahead.take():
            pass
        return ahead.next_used

    @property
    def available_event(self) -> int:
        place, flags = unpack("<HH", self.memory.read(Gpa(self.used), 4))
        assert flags == self.DESCRIPTOR
        return int(place & 0x7FFF) + (0 if place & 0x8000 else self.size)

    def set_used_event(self, index: int) -> None:
        wrap = 1 << 15 if index < self.size else 0
        event = pack("<HH", index % self.size | wrap, self.DESCRIPTOR)
        self.memory.write(Gpa(self.available), event)

    def set_quiet(self, quiet: bool) -> None:
        self.memory.write(Gpa(self.available), pack("<HH", 0, self.DISABLE * quiet))
