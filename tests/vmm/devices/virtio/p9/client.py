"""A 9P2000.L client over the driver's side of a virtio queue."""

from __future__ import annotations

import os
from struct import pack, unpack_from

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from vmm.devices.virtio.p9.device import P9Device
from vmm.devices.virtio.p9.share import Share

ROOM = 8192
ROOT = 0


def s(text: bytes | str) -> bytes:
    data = os.fsencode(text)
    return pack("<H", len(data)) + data


class P9Error(Exception):
    """Rlerror."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


class Client:
    """A session whose root is fid 0."""

    def __init__(self, share: Share) -> None:
        memory = d.ram()
        self.device = P9Device(memory, share=share, tag="tag")
        self.guest = Guest(self.device, memory)
        self.restart()

    def restart(self) -> None:
        self.guest.start()
        self.next = 1
        self.call(100, pack("<I", ROOM) + s("9P2000.L"))
        self.call(104, pack("<II", ROOT, 0xFFFF_FFFF) + s("") + s("") + pack("<I", 0))

    def call(self, kind: int, body: bytes, room: int = ROOM) -> bytes:
        """Send a request and return the reply's body.

        Raises:
            P9Error: if the reply is Rlerror.
        """
        queue = self.guest.queues[0]
        if queue._buffers > queue._end - (1 << 18):
            # The rings stay; their buffers are used again.
            queue._buffers = queue.used + 6 + 8 * queue.size + 15 & ~15
        message = pack("<IBH", 7 + len(body), kind, 0x1234) + body
        answer, used = self.guest.request(0, message, room)
        size, reply, tag = unpack_from("<IBH", answer)
        assert size == used
        assert tag == 0x1234
        if reply == 7:
            raise P9Error(unpack_from("<I", answer, 7)[0])
        assert reply == kind + 1
        return answer[7:size]

    def walk(self, *names: bytes | str, start: int = ROOT) -> int:
        """Return a new fid."""
        fid = self.next
        self.next += 1
        body = pack("<IIH", start, fid, len(names)) + b"".join(map(s, names))
        found = unpack_from("<H", self.call(110, body))[0]
        if found < len(names):
            raise P9Error(2)
        return fid

    def open(self, fid: int, flags: int = 0) -> int:
        self.call(12, pack("<II", fid, flags))
        return fid

    def create(self, parent: int, name: str, flags: int = os.O_RDWR, mode: int = 0o644) -> int:
        fid = self.walk(start=parent)
        self.call(14, pack("<I", fid) + s(name) + pack("<III", flags, mode, 0))
        return fid

    def read(self, fid: int, offset: int = 0, count: int = 4096) -> bytes:
        reply = self.call(116, pack("<IQI", fid, offset, count))
        assert unpack_from("<I", reply)[0] == len(reply) - 4
        return reply[4:]

    def write(self, fid: int, data: bytes, offset: int = 0) -> int:
        body = pack("<IQI", fid, offset, len(data)) + data
        return int(unpack_from("<I", self.call(118, body))[0])

    def clunk(self, fid: int) -> None:
        self.call(120, pack("<I", fid))

    def getattr(self, fid: int) -> dict[str, int]:
        names = "valid kind version path mode uid gid nlink rdev size blksize blocks atime".split()
        fields = unpack_from("<QBIQIIIQQQQQQ", self.call(24, pack("<IQ", fid, 0x7FF)))
        return dict(zip(names, fields, strict=True))

    def names(self, fid: int, count: int = 4096) -> list[bytes]:
        """Read a whole directory, in pieces of ``count`` bytes."""
        result = []
        offset = 0
        while True:
            reply = self.call(40, pack("<IQI", fid, offset, count))
            position = 4
            while position < len(reply):
                offset, _, length = unpack_from("<QBH", reply, position + 13)
                position += 24
                result.append(reply[position : position + length])
                position += length
            if len(reply) == 4:
                return result
