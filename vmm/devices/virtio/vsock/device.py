"""Socket device (section 5.10): streams between programs of the guest and of the host."""

from __future__ import annotations

import socket

from vmm.devices.device import internal
from vmm.devices.virtio.chain import copy_to
from vmm.devices.virtio.device import VirtioDevice
from vmm.devices.virtio.vsock import packet as vs
from vmm.devices.virtio.vsock.packet import HEADER, HOST_CID, Packet, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Final, Protocol

    from vmm.devices.device import State
    from vmm.devices.virtio.chain import Chain
    from vmm.lines import Watch
    from vmm.memory import GuestMemory

    class Host(Protocol):
        """Where the host's ends come from."""

        def connect(self, port: int) -> socket.socket: ...
        def watch(self, connection: socket.socket, callback: Callable[[], None]) -> Watch: ...


RECEIVE: Final = 0
TRANSMIT: Final = 1
EVENT: Final = 2

F_STREAM: Final = 1

# Data of one connection that waits for the host's program, and what the guest is told of it: a
# guest that sends more breaks the protocol.
BUFFER: Final = 256 << 10
# Data of one packet to the guest.
MAX_DATA: Final = 64 << 10

# Descriptors that a guest can use up; packets that wait for its buffers. When those are many, its
# own packets have to wait.
MAX_CONNECTIONS: Final = 256
MAX_REPLIES: Final = 256

# Packets delivered in a row before others have their turn at the bus.
BUDGET: Final = 256

# Host ports of connections that the host began.
FIRST_HOST_PORT: Final = 1 << 30

_EVENT_TRANSPORT_RESET: Final = bytes(4)

_WORD: Final = 0xFFFF_FFFF
_MAX_VECTOR: Final = 1024


class Connection:
    """One stream.

    Attributes:
        host_port: with ``guest_port``, what packets name it by.
        socket: the host's end.
        watch: on that.
        established: both sides have agreed.
        unsent: data of the guest that the socket did not take yet.
        forwarded: bytes that it took, modulo 2^32; as told to the guest, ``told``.
        sent: bytes sent to the guest, modulo 2^32.
        peer_room: of the guest's buffer.
        peer_forwarded: bytes that the guest's program took, modulo 2^32.
        host_done: the host will send nothing more.
        guest_done: which of NO_RECEIVE and NO_SEND the guest has declared.
    """

    def __init__(self, host_port: int, guest_port: int, end: socket.socket) -> None:
        self.host_port = host_port
        self.guest_port = guest_port
        self.socket = end
        self.watch: Watch
        self.established = False
        self.unsent = bytearray()
        self.forwarded = 0
        self.told = 0
        self.sent = 0
        self.peer_room = 0
        self.peer_forwarded = 0
        self.host_done = False
        self.guest_done = 0

    @property
    def credit(self) -> int:
        """How much the guest has room for (5.10.6.3)."""
        under_way = self.sent - self.peer_forwarded & _WORD
        return max(self.peer_room - under_way, 0)

    @property
    def listens(self) -> bool:
        """Whether data of the host may be taken now."""
        return self.established and not self.host_done and self.credit > 0


class VsockDevice(VirtioDevice):
    """A socket device.

    Args:
        memory: the guest's RAM.
        cid: the guest's address, from 3.
        host: the host's sockets.
    """

    DEVICE_ID: ClassVar[int] = 19
    QUEUE_SIZES: ClassVar[tuple[int, ...]] = (128, 128, 8)
    INPUTS: ClassVar[tuple[str, ...]] = ("on_connect",)

    # Packets for which the guest has had no buffer yet.
    _replies: list[bytes] = internal([])
    # The guest is to be told that its connections are gone (5.10.6.7).
    _reset_due = internal(False)

    def __init__(self, memory: GuestMemory, *, cid: int, host: Host) -> None:
        self._cid = cid
        self._host = host
        self._connections: dict[tuple[int, int], Connection] = {}
        self._readable: list[Connection] = []
        self._next_port = FIRST_HOST_PORT
        super().__init__(memory, F_STREAM)

    def close(self) -> None:
        """Close the host's ends of all connections."""
        for connection in list(self._connections.values()):
            self._drop(connection)

    def reset(self) -> None:
        self.close()
        super().reset()

    def save(self) -> State:
        self._reset_due = self._reset_due or bool(self._connections)
        return super().save()

    def loaded(self) -> None:
        """Connections cannot be restored."""
        self.close()

    def resume(self) -> None:
        """Tell the guest that its connections are gone."""
        self.serve(EVENT)

    def config(self) -> bytes:
        return self._cid.to_bytes(8, "little")

    def handle(self, index: int) -> None:
        if index == EVENT:
            self._tell_of_reset()
            return
        if index == RECEIVE:
            self._deliver()
        if self.queues[TRANSMIT].usable:
            self._take_packets()
        if self.queues[RECEIVE].usable:
            self._deliver()
        if self.queues[TRANSMIT].unfinished:
            self.transport.serve_later(TRANSMIT)

    # ---- The host's side ----

    def on_connect(self, end: socket.socket, port: int) -> None:
        """Connect a program of the host to ``port`` of the guest."""
        if not self.live or len(self._connections) >= MAX_CONNECTIONS:
            end.close()
            return
        while (self._next_port, port) in self._connections:
            self._next_port += 1
        connection = self._add(self._next_port, port, end)
        self._next_port = max(self._next_port + 1 & _WORD, FIRST_HOST_PORT)
        self._reply(connection, vs.OP_REQUEST)
        self.serve(RECEIVE)

    def _on_ready(self, connection: Connection) -> None:
        """The socket can be read or written, or has failed."""
        if connection.unsent:
            self._forward(connection, [memoryview(bytes(connection.unsent))], again=True)
        alive = (connection.host_port, connection.guest_port) in self._connections
        if alive and connection.listens and connection not in self._readable:
            self._readable.append(connection)
        self._watch(connection)
        self.serve(RECEIVE)

    # ---- Packets of the guest ----

    def _take_packets(self) -> None:
        queue = self.queues[TRANSMIT]
        queue.unfinished = False
        if len(self._replies) >= MAX_REPLIES:
            return
        for chain in queue:
            packet = unpack(chain.readable.read(HEADER.size))
            if packet is not None:
                self._take(packet, chain)
            queue.push(chain, 0)
            if len(self._replies) >= MAX_REPLIES:
                break
        self.notify(queue)

    def _take(self, packet: Packet, chain: Chain) -> None:
        # 5.10.6.4.2: what is not from the guest's address is dropped.
        if packet.src_cid != self._cid or packet.dst_cid != HOST_CID:
            return
        connection = self._connections.get((packet.dst_port, packet.src_port))
        if packet.type != vs.TYPE_STREAM:
            self._refuse(packet)
        elif packet.op == vs.OP_REQUEST:
            self._request(packet, connection)
        elif connection is None:
            if packet.op != vs.OP_RST:
                self._refuse(packet)
        else:
            connection.peer_room = packet.buf_alloc
            connection.peer_forwarded = packet.fwd_cnt
            self._advance(connection, packet, chain)

    def _request(self, packet: Packet, existing: Connection | None) -> None:
        if existing is not None:
            self._abort(existing)
            return
        try:
            if len(self._connections) >= MAX_CONNECTIONS:
                raise ConnectionRefusedError
            end = self._host.connect(packet.dst_port)
        except OSError:
            self._refuse(packet)
            return
        connection = self._add(packet.dst_port, packet.src_port, end)
        connection.peer_room = packet.buf_alloc
        connection.peer_forwarded = packet.fwd_cnt
        connection.established = True
        self._reply(connection, vs.OP_RESPONSE)
        self._watch(connection)

    def _advance(self, connection: Connection, packet: Packet, chain: Chain) -> None:
        if packet.op == vs.OP_RST:
            self._drop(connection)
        elif packet.op == vs.OP_RESPONSE and not connection.established:
            connection.established = True
            greeting = b"OK %d\n" % connection.host_port
            # Not the guest's data: its count is not the guest's.
            connection.forwarded = connection.told = -len(greeting) & _WORD
            self._forward(connection, [memoryview(greeting)])
        elif packet.op == vs.OP_RW and connection.established:
            self._receive(connection, chain, packet.length)
        elif packet.op == vs.OP_SHUTDOWN:
            connection.guest_done |= packet.flags & (vs.NO_RECEIVE | vs.NO_SEND)
            self._finish(connection)
        elif packet.op == vs.OP_CREDIT_REQUEST:
            self._reply(connection, vs.OP_CREDIT_UPDATE)
            self._watch(connection)
        elif packet.op == vs.OP_CREDIT_UPDATE:
            self._watch(connection)
        else:
            self._abort(connection)

    def _receive(self, connection: Connection, chain: Chain, length: int) -> None:
        """Pass data on to the host's program; a guest that ignores its credit is cut off."""
        length = min(length, chain.readable.length)
        if len(connection.unsent) + length > BUFFER or connection.guest_done & vs.NO_SEND:
            self._abort(connection)
            return
        self._forward(connection, chain.readable.take(length))

    def _forward(
        self, connection: Connection, views: list[memoryview], *, again: bool = False
    ) -> None:
        """Send to the socket what it takes, and keep the rest; ``again`` if that was the rest."""
        if len(views) > _MAX_VECTOR:
            views = [memoryview(b"".join(views))]
        done = 0
        if again or not connection.unsent:
            try:
                done = connection.socket.sendmsg(views)
            except BlockingIOError:
                pass
            except OSError:
                self._abort(connection)
                return
        connection.forwarded = connection.forwarded + done & _WORD
        if again:
            del connection.unsent[:done]
        else:
            connection.unsent += b"".join(views)[done:]
        if connection.forwarded - connection.told & _WORD >= BUFFER // 2:
            self._reply(connection, vs.OP_CREDIT_UPDATE)
        self._finish(connection)

    def _finish(self, connection: Connection) -> None:
        """Close what the guest has closed, once everything before that is through."""
        if connection.unsent or not connection.guest_done:
            self._watch(connection)
            return
        if connection.guest_done == vs.NO_RECEIVE | vs.NO_SEND:
            # A clean end is confirmed by a reset (5.10.6.6).
            self._abort(connection)
            return
        try:
            if connection.guest_done & vs.NO_SEND:
                connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the host's program has gone; reading will tell
        self._watch(connection)

    # ---- Packets to the guest ----

    def _deliver(self) -> None:
        """Fill the guest's buffers with replies first, then with data of the host."""
        queue = self.queues[RECEIVE]
        for _ in range(BUDGET):
            if not self._replies and not self._readable:
                break
            chain = queue.pop()
            if chain is None:
                break
            if self._replies:
                queue.push(chain, chain.writable.write(self._replies.pop(0)))
            elif done := self._fill(self._readable[0], chain):
                queue.push(chain, done)
            else:
                queue.undo_pop(chain)
        else:
            for connection in self._readable:
                connection.watch.arm(read=True)
        self.notify(queue)

    def _fill(self, connection: Connection, chain: Chain) -> int:
        """Fill ``chain`` with data; return its length, 0 if there is none."""
        self._readable.remove(connection)
        header = chain.writable.take(HEADER.size)
        room = min(connection.credit, MAX_DATA, chain.writable.length)
        if not connection.listens:
            return 0
        if not room:
            return HEADER.size  # a buffer for a header only is of no use
        try:
            done = connection.socket.recvmsg_into(chain.writable.take(room)[:_MAX_VECTOR])[0]
        except BlockingIOError:
            self._watch(connection)
            return 0
        except OSError:
            self._abort(connection)
            return 0
        if not done:
            connection.host_done = True
            self._reply(connection, vs.OP_SHUTDOWN, vs.NO_SEND)
            return 0
        connection.sent = connection.sent + done & _WORD
        self._readable.append(connection)
        copy_to(header, self._packet(connection, vs.OP_RW, 0, done))
        return HEADER.size + done

    def _packet(self, connection: Connection, op: int, flags: int, length: int) -> bytes:
        connection.told = connection.forwarded
        ports = (connection.host_port, connection.guest_port)
        fields = (length, vs.TYPE_STREAM, op, flags, BUFFER, connection.forwarded)
        return Packet(HOST_CID, self._cid, *ports, *fields).pack()

    def _reply(self, connection: Connection, op: int, flags: int = 0) -> None:
        self._replies.append(self._packet(connection, op, flags, 0))

    def _refuse(self, packet: Packet) -> None:
        """Answer a packet that belongs to no connection."""
        ports = (packet.dst_port, packet.src_port)
        self._replies.append(
            Packet(HOST_CID, self._cid, *ports, 0, packet.type, vs.OP_RST, 0, 0, 0).pack()
        )

    def _tell_of_reset(self) -> None:
        queue = self.queues[EVENT]
        if self._reset_due and (chain := queue.pop()) is not None:
            self._reset_due = False
            queue.push(chain, chain.writable.write(_EVENT_TRANSPORT_RESET))
            self.notify(queue)

    # ---- Connections ----

    def _add(self, host_port: int, guest_port: int, end: socket.socket) -> Connection:
        connection = Connection(host_port, guest_port, end)
        connection.watch = self._host.watch(end, lambda: self._on_ready(connection))
        self._connections[host_port, guest_port] = connection
        return connection

    def _watch(self, connection: Connection) -> None:
        """Wait for what can be done next."""
        reads = connection.listens and connection not in self._readable
        connection.watch.arm(read=reads, write=bool(connection.unsent))

    def _abort(self, connection: Connection) -> None:
        self._reply(connection, vs.OP_RST)
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        del self._connections[connection.host_port, connection.guest_port]
        if connection in self._readable:
            self._readable.remove(connection)
        connection.watch.close()
        connection.socket.close()
