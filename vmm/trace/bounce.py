"""Bounce buffers: the RAM that a device works on while what it reads and writes is recorded.

A device gets views of RAM and hands them on to the host's kernel; nothing could see it read there.
So a recorded device works on RAM of its own, at the same addresses: what it is about to read is
copied in, what it has written is copied out, and each copy is an access of the device. Reads are
taken down before the device looks, so that a guest which changes its RAM meanwhile changes nothing.

In a replay the copies come from the trace, and go nowhere but into a comparison.
"""

from __future__ import annotations

from vmm.memory import GuestMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, Protocol

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


class BounceMemory(GuestMemory):
    """RAM of a virtio device's own, at the addresses of the guest's; `bounce_queue` keeps it right.

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
