"""Packets of the socket device (section 5.10.6)."""

from __future__ import annotations

from struct import Struct

from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HOST_CID: Final = 2

TYPE_STREAM: Final = 1

OP_REQUEST: Final = 1
OP_RESPONSE: Final = 2
OP_RST: Final = 3
OP_SHUTDOWN: Final = 4
OP_RW: Final = 5
OP_CREDIT_UPDATE: Final = 6
OP_CREDIT_REQUEST: Final = 7

# Flags of OP_SHUTDOWN: its sender will not receive, or not send, any more.
NO_RECEIVE: Final = 1
NO_SEND: Final = 2

# src_cid, dst_cid, src_port, dst_port, len, type, op, flags, buf_alloc, fwd_cnt
HEADER: Final = Struct("<QQIIIHHIII")


@value
class Packet:
    """A packet's header, with the fields of struct virtio_vsock_hdr.

    Attributes:
        buf_alloc: how much the sender has room for.
        fwd_cnt: how much of it the sender's program has taken, in all.
    """

    src_cid: int
    dst_cid: int
    src_port: int
    dst_port: int
    length: int
    type: int
    op: int
    flags: int
    buf_alloc: int
    fwd_cnt: int

    def pack(self) -> bytes:
        """Return its bytes."""
        return HEADER.pack(
            self.src_cid,
            self.dst_cid,
            self.src_port,
            self.dst_port,
            self.length,
            self.type,
            self.op,
            self.flags,
            self.buf_alloc,
            self.fwd_cnt,
        )


def unpack(header: bytes) -> Packet | None:
    """Return the packet whose header this is; None if it is cut."""
    return Packet(*HEADER.unpack(header)) if len(header) == HEADER.size else None
