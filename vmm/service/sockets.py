"""System calls on sockets, shaped as the methods in `socket`, with the descriptor in front.

Addresses are those of AF_UNIX as in Python: text is a path, bytes that begin with a zero are an
abstract name, "" is an unnamed socket; and None where the guest gave no address.
"""

from __future__ import annotations

import os
from socket import AF_UNIX, SOCK_STREAM
from struct import Struct

from vmm.service.structures import CMSGHDR, IOVEC, MSGHDR, SOCKLEN
from vmm.service.task import TaskBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from vmm.service.task import Data
    from vmm.service.window import Room

    Address = str | bytes
    Ancillary = tuple[int, int, bytes]

_PAIR: Final = Struct("<ii")
_FAMILY: Final = Struct("<H")
_INT: Final = Struct("<i")

# Of struct sockaddr_storage.
ADDRESS_SIZE: Final = 128


class SocketCalls(TaskBase):
    """What `socket` has."""

    def socket(self, family: int, kind: int, proto: int = 0) -> int:
        """Make a socket; ``kind`` may have SOCK_NONBLOCK and SOCK_CLOEXEC."""
        return self._call("socket", family, kind, proto)

    def socketpair(
        self, family: int = AF_UNIX, kind: int = SOCK_STREAM, proto: int = 0
    ) -> tuple[int, int]:
        """Make two sockets that are connected."""
        room = self._room(_PAIR.size)

        def decode(_: int) -> tuple[int, int]:
            first, second = _PAIR.unpack(room.view)
            return first, second

        return self._call("socketpair", family, kind, proto, room, decode=decode)

    def bind(self, fd: int, address: Address) -> None:
        """Give a socket its name."""
        name = encode_address(address)
        self._call("bind", fd, name, len(name))

    def listen(self, fd: int, backlog: int = 128) -> None:
        """Let others connect."""
        self._call("listen", fd, backlog)

    def accept4(self, fd: int, flags: int = 0) -> tuple[int, Address | None]:
        """Take a connection: the new descriptor, and who it is with."""
        room, length = self._name()
        return self._call(
            "accept4", fd, room, length, flags, decode=lambda new: (new, _address(room, length))
        )

    def connect(self, fd: int, address: Address) -> None:
        """Connect a socket."""
        name = encode_address(address)
        self._call("connect", fd, name, len(name))

    def shutdown(self, fd: int, how: int) -> None:
        """End one direction of a connection, or both."""
        self._call("shutdown", fd, how)

    def getsockname(self, fd: int) -> Address | None:
        """Return the socket's name."""
        room, length = self._name()
        return self._call("getsockname", fd, room, length, decode=lambda _: _address(room, length))

    def getpeername(self, fd: int) -> Address | None:
        """Return the name of the one that it is connected to."""
        room, length = self._name()
        return self._call("getpeername", fd, room, length, decode=lambda _: _address(room, length))

    # ---- Options ----

    def getsockopt(self, fd: int, level: int, option: int, buflen: int = 4) -> bytes:
        """Return the bytes of an option."""
        room = self._room(buflen)
        length = self._put(SOCKLEN.pack(buflen))
        return self._call(
            "getsockopt",
            *(fd, level, option, room, length),
            decode=lambda _: room.read(_length(length)),
        )

    def setsockopt(self, fd: int, level: int, option: int, value: int | Data) -> None:
        """Set an option."""
        data = _INT.pack(value) if isinstance(value, int) else value
        self._call("setsockopt", fd, level, option, data, len(data))

    # ---- Data ----

    def send(self, fd: int, data: Data, flags: int = 0) -> int:
        """Send; return how many bytes went."""
        return self._call("sendto", fd, self._put(data), len(data), flags, 0, 0)

    def sendto(self, fd: int, data: Data, flags: int, address: Address) -> int:
        """Send to ``address``."""
        name = encode_address(address)
        return self._call("sendto", fd, self._put(data), len(data), flags, name, len(name))

    def recv(self, fd: int, bufsize: int, flags: int = 0) -> bytes:
        """Receive up to ``bufsize`` bytes."""
        room = self._room(min(bufsize, self.max_transfer))
        return self._call(
            "recvfrom",
            *(fd, room, len(room), flags, 0, 0),
            decode=lambda count: room.read(min(count, len(room))),
        )

    def recvfrom(self, fd: int, bufsize: int, flags: int = 0) -> tuple[bytes, Address | None]:
        """Receive up to ``bufsize`` bytes, and tell from whom."""
        room = self._room(min(bufsize, self.max_transfer))
        name, length = self._name()
        return self._call(
            "recvfrom",
            *(fd, room, len(room), flags, name, length),
            decode=lambda n: (room.read(min(n, len(room))), _address(name, length)),
        )

    def sendmsg(
        self,
        fd: int,
        buffers: Iterable[Data],
        ancdata: Iterable[tuple[int, int, Data]] = (),
        flags: int = 0,
        address: Address | None = None,
    ) -> int:
        """Send several buffers as one message, with ancillary data (level, type, data)."""
        name = b"" if address is None else encode_address(address)
        header = self._message(
            [self._put(buffer) for buffer in buffers],
            self._put(name) if name else None,
            self._put(_pack_ancillary(ancdata)),
        )
        return self._call("sendmsg", fd, header, flags)

    def recvmsg(
        self, fd: int, bufsize: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[Ancillary], int, Address | None]:
        """Receive a message: its bytes, ancillary data, flags (MSG_TRUNC…), sender."""
        room = self._room(min(bufsize, self.max_transfer))
        name = self._room(ADDRESS_SIZE)
        control = self._room(ancbufsize)
        header = self._message([room], name, control)

        def decode(count: int) -> tuple[bytes, list[Ancillary], int, Address | None]:
            _, name_length, _, _, _, controls, found = MSGHDR.unpack(header.view)
            return (
                room.read(min(count, len(room))),
                _unpack_ancillary(control.read(controls)),
                found,
                decode_address(name.read(name_length)),
            )

        return self._call("recvmsg", fd, header, flags, decode=decode)

    # ---- Parts ----

    def _name(self) -> tuple[Room, Room]:
        """Return room for an address, and for its length."""
        return self._room(ADDRESS_SIZE), self._put(SOCKLEN.pack(ADDRESS_SIZE))

    def _message(self, data: Sequence[Room], name: Room | None, control: Room) -> Room:
        """Return a struct msghdr."""
        vector = self._put(b"".join([IOVEC.pack(part.address, len(part)) for part in data]))
        return self._put(
            MSGHDR.pack(
                0 if name is None else name.address,
                0 if name is None else len(name),
                vector.address,
                len(data),
                control.address if len(control) else 0,
                len(control),
                0,
            )
        )


def encode_address(address: Address) -> bytes:
    """Return an address of AF_UNIX as the guest takes it."""
    name = address if isinstance(address, bytes) else os.fsencode(address)
    ends = b"" if not name or name.startswith(b"\0") else b"\0"
    return _FAMILY.pack(AF_UNIX) + name + ends


def decode_address(data: bytes) -> Address | None:
    """Return an address of AF_UNIX as Python has it; None where there is none."""
    if len(data) < _FAMILY.size:
        return None
    name = data[_FAMILY.size :]
    if name.startswith(b"\0"):
        return name
    return os.fsdecode(name.partition(b"\0")[0])


def _length(room: Room) -> int:
    return int(SOCKLEN.unpack(room.view)[0])


def _address(room: Room, length: Room) -> Address | None:
    return decode_address(room.read(_length(length)))


def _pack_ancillary(messages: Iterable[tuple[int, int, Data]]) -> bytes:
    packed = b""
    for level, kind, data in messages:
        entry = CMSGHDR.pack(CMSGHDR.size + len(data), level, kind) + bytes(data)
        packed += entry + bytes(-len(entry) % 8)
    return packed


def _unpack_ancillary(data: bytes) -> list[Ancillary]:
    messages = []
    offset = 0
    while offset + CMSGHDR.size <= len(data):
        length, level, kind = CMSGHDR.unpack_from(data, offset)
        if length < CMSGHDR.size:
            break
        messages.append((level, kind, data[offset + CMSGHDR.size : offset + length]))
        offset += -(-length // 8) * 8
    return messages
