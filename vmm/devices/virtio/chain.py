"""Descriptor chains (sections 2.7.5 and 2.8.5): from descriptors to buffers in guest RAM.

Nothing is copied: a buffer is a view of the guest's own pages. Each descriptor is read exactly
once, so that a driver which changes it meanwhile changes nothing.
"""

from __future__ import annotations

from struct import Struct

from vmm.errors import GuestMemoryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from vmm.memory import GuestMemory

    class Tables(Protocol):
        """The RAM that indirect tables are in."""

        def view(self, gpa: int, length: int, /) -> memoryview: ...

    # (address, length, not 0 if the device is to write to it)
    Element = tuple[int, int, int]


# struct virtq_desc: address, length, flags, next (2.7.5);
# struct pvirtq_desc: address, length, buffer ID, flags (2.8.13).
DESCRIPTOR: Final = Struct("<QIHH")
DESCRIPTOR_SIZE: Final = DESCRIPTOR.size

F_NEXT: Final = 1
F_WRITE: Final = 2
F_INDIRECT: Final = 4

# Entries of an indirect table. 2.7.5.3.1 allows a driver as many as the queue has, yet Linux may
# use more; without a limit one request could keep the host busy with a table of 2^28 entries.
# It is also IOV_MAX: what a single preadv can take.
MAX_INDIRECT: Final = 1024

# "The total length of a chain is at most 2^32 bytes" (2.7.5.2).
MAX_CHAIN_BYTES: Final = 1 << 32


class QueueError(Exception):
    """The driver broke a rule of the rings; the device needs a reset (2.1.2)."""


class Buffers:
    """The device-readable or the device-writable part of a chain, used up from its front.

    Attributes:
        views: what is left, in order.
        length: its length in bytes.
    """

    __slots__ = ("length", "views")

    def __init__(self, views: list[memoryview], length: int) -> None:
        """Take over ``views``, which are ``length`` bytes in all."""
        self.views = views
        self.length = length

    def take(self, length: int) -> list[memoryview]:
        """Take ``length`` bytes from the front, or what there is, without copying them."""
        if length >= self.length:
            views, self.views = self.views, []
            self.length = 0
            return views
        self.length -= length
        taken = []
        while length:
            view = self.views[0]
            if len(view) > length:
                taken.append(view[:length])
                self.views[0] = view[length:]
                break
            taken.append(self.views.pop(0))
            length -= len(view)
        return taken

    def take_last(self, length: int) -> list[memoryview]:
        """Take ``length`` bytes from the end, or what there is."""
        if self.views and len(self.views[-1]) == length:
            self.length -= length
            return [self.views.pop()]
        front = self.take(max(self.length - length, 0))
        last, self.views = self.views, front
        self.length = sum(map(len, front))
        return last

    def read(self, length: int) -> bytes:
        """Take and copy ``length`` bytes, or what there is."""
        return b"".join(self.take(length))

    def write(self, data: bytes | memoryview) -> int:
        """Copy ``data``, or as much of it as fits, to the front; return the number of bytes."""
        return copy_to(self.take(len(data)), data)


def copy_to(views: list[memoryview], data: bytes | memoryview) -> int:
    """Copy ``data`` into ``views`` one after the other; return the number of bytes that fitted."""
    done = 0
    for view in views:
        part = data[done : done + len(view)]
        view[: len(part)] = part
        done += len(part)
    return done


class Chain:
    """One buffer that the driver made available.

    Attributes:
        head: by which the driver knows it: the index of its first descriptor; in a packed
            virtqueue, its buffer ID.
        count: how many entries it takes of the ring in which it is available.
        elements: its descriptors, indirect ones in place of those that refer to them.
        readable: what the driver wrote for the device.
        writable: what the device is to fill.
    """

    __slots__ = ("count", "elements", "head", "readable", "writable")

    def __init__(
        self, memory: GuestMemory, head: int, elements: list[Element], count: int = 1
    ) -> None:
        """Find the buffers of ``elements``.

        Raises:
            QueueError: if they break a rule.
        """
        self.head = head
        self.count = count
        self.elements = elements
        readable: list[memoryview] = []
        writable: list[memoryview] = []
        read = written = 0
        view_of = memory.view
        try:
            if len(elements) == 1 and elements[0][2]:
                # Most of what a driver gives a device to fill is a single buffer.
                address, length, _ = elements[0]
                self.readable = Buffers(readable, 0)
                self.writable = Buffers([view_of(address, length)] if length else [], length)
                return
            for address, length, flags in elements:
                if not length:
                    continue
                if flags:
                    writable.append(view_of(address, length))
                    written += length
                elif writable:
                    # 2.7.4.2, 2.8.17: all device-writable elements come after the readable ones.
                    raise QueueError("a device-readable descriptor follows a writable one")
                else:
                    readable.append(view_of(address, length))
                    read += length
        except GuestMemoryError as error:
            raise QueueError(f"a buffer at {error}") from None
        if read + written > MAX_CHAIN_BYTES:
            raise QueueError("a chain is longer than 2^32 bytes (2.7.5.2)")
        self.readable = Buffers(readable, read)
        self.writable = Buffers(writable, written)


def indirect_table(memory: Tables, address: int, length: int, flags: int) -> memoryview:
    """Return the table that an indirect descriptor refers to; its F_WRITE counts for nothing.

    Raises:
        QueueError: if it breaks a rule.
    """
    if flags & F_NEXT:
        raise QueueError("an indirect descriptor has a next one (2.7.5.3.1, 2.8.19)")
    if not length or length % DESCRIPTOR_SIZE:
        raise QueueError(f"an indirect table has {length} bytes (2.7.5.3.1)")
    if length > MAX_INDIRECT * DESCRIPTOR_SIZE:
        raise QueueError(f"an indirect table has more than {MAX_INDIRECT} descriptors")
    try:
        return memory.view(address, length)
    except GuestMemoryError as error:
        raise QueueError(f"an indirect table at {error}") from None
