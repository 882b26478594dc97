"""Network device (section 5.1) with one pair of queues.

The header before each frame (5.1.6) is the same on both sides of a TAP interface, so frames that
the guest left unfinished (checksums, segments) are finished by the host's kernel, or not at all
where they end in another guest.
"""

from __future__ import annotations

from struct import Struct

from vmm.devices.device import internal
from vmm.devices.virtio.chain import Buffers, copy_to
from vmm.devices.virtio.device import VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final, Protocol

    from vmm.memory import GuestMemory

    class Link(Protocol):
        """The network behind the device; frames have the header in front of them.

        No call blocks or raises.

        Attributes:
            offloads: the features of `OFFLOADS` that the network can do with.
        """

        @property
        def offloads(self) -> int: ...

        def send(self, frame: list[memoryview]) -> None:
            """Send a frame, or lose it."""
            ...

        def receive(self, room: list[memoryview]) -> int:
            """Fill ``room``, of `MAX_FRAME` bytes or more, with the next frame.

            Returns its length; 0 if there is none now.
            """
            ...

        def set_offloads(self, features: int) -> None:
            """Say by feature bits which unfinished frames may be received."""
            ...

        def wait(self) -> None:
            """Have `NetDevice.on_frame` called when there is a frame."""
            ...


RECEIVE: Final = 0
TRANSMIT: Final = 1

# Feature bits (5.1.3).
F_CSUM: Final = 1 << 0
F_GUEST_CSUM: Final = 1 << 1
F_MAC: Final = 1 << 5
F_GUEST_TSO4: Final = 1 << 7
F_GUEST_TSO6: Final = 1 << 8
F_HOST_TSO4: Final = 1 << 11
F_HOST_TSO6: Final = 1 << 12
F_MRG_RXBUF: Final = 1 << 15
F_STATUS: Final = 1 << 16

OFFLOADS: Final = (
    F_CSUM | F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_HOST_TSO4 | F_HOST_TSO6 | F_MRG_RXBUF
)

# struct virtio_net_hdr; its last field, num_buffers, is the device's when it receives.
HEADER_SIZE: Final = 12
_NUM_BUFFERS: Final = Struct("<H")
_NUM_BUFFERS_AT: Final = 10

# The longest frame: 64 KiB of IP packet behind Ethernet and virtio headers (5.1.6.3.1).
MAX_FRAME: Final = HEADER_SIZE + 14 + 65536

# The guest makes longer frames than this, which the host will cut, where it has much to send; the
# longer it may gather, the longer they get. What is shorter may be all that there is.
_LONG: Final = HEADER_SIZE + 14 + 1500

# Frames sent or received in a row before others have their turn at the bus: the vCPU waits for it
# with the next register that it touches.
BUDGET: Final = 8

# struct virtio_net_config up to status (5.1.4).
_CONFIG: Final = Struct("<6sH")
LINK_UP: Final = 1


class NetDevice(VirtioDevice):
    """A network interface.

    Args:
        memory: the guest's RAM.
        link: the network.
        mac: the interface's address, 6 bytes.
    """

    DEVICE_ID: ClassVar[int] = 1
    QUEUE_SIZES: ClassVar[tuple[int, ...]] = (256, 256)
    INPUTS: ClassVar[tuple[str, ...]] = ("on_frame",)

    # A frame that was received when there was no room for it.
    _frame = internal(b"")

    def __init__(self, memory: GuestMemory, *, link: Link, mac: bytes) -> None:
        self._link = link
        self._mac = mac
        # What of a frame there is no room for goes here.
        self._overflow = memoryview(bytearray(MAX_FRAME))
        super().__init__(memory, F_MAC | F_STATUS | link.offloads)

    def reset(self) -> None:
        super().reset()
        self._link.set_offloads(0)

    def resume(self) -> None:
        self._link.set_offloads(self.features)
        self.on_frame()

    def start(self) -> None:
        self._link.set_offloads(self.features)
        super().start()

    def config(self) -> bytes:
        return _CONFIG.pack(self._mac, LINK_UP)

    def on_frame(self) -> None:
        """Receive: the link has a frame."""
        self.serve(RECEIVE)

    def handle(self, index: int) -> None:
        if index == TRANSMIT:
            self._transmit()
        else:
            self._receive()

    def _transmit(self) -> None:
        queue = self.queues[TRANSMIT]
        queue.unfinished = True
        self.gathers = False
        for _ in range(BUDGET):
            chain = queue.pop()
            if chain is None:
                queue.unfinished = False
                break
            length = chain.readable.length
            self.gathers = self.gathers or length > _LONG
            # What is too short or too long for a frame is not one.
            if HEADER_SIZE < length <= MAX_FRAME:
                self._link.send(chain.readable.take(MAX_FRAME))
            queue.push(chain, 0)
        self.notify(queue)

    def _receive(self) -> None:
        """Move frames from the link into the guest's buffers until either side has no more."""
        for _ in range(BUDGET):
            if not self._move_frame():
                break
        self.notify(self.queues[RECEIVE])
        if not self._frame:
            self._link.wait()

    def _move_frame(self) -> bool:
        """Move a frame from the link into the guest's buffers; False if there is none, or no room.

        In the latter case it waits in `_frame` until the driver has added buffers, and kicks.
        """
        queue = self.queues[RECEIVE]
        merges = bool(self.features & F_MRG_RXBUF)
        ahead = queue.peek(MAX_FRAME if merges else 1)
        room, space = (ahead.views, ahead.length) if merges else ahead.first()
        frame, self._frame = self._frame, b""
        length = len(frame)
        if frame:
            copy_to(room, frame)
        else:
            length = self._link.receive([*room, self._overflow])
        if length <= space:
            if length:
                self._give_back(room, length)
            return length > 0
        if ahead.chains and (not merges or len(ahead.chains) == queue.size):
            return True  # lost: no buffers can hold it (5.1.6.3.2 asks for buffers that can)
        self._frame = frame or b"".join([*room, self._overflow])[:length]
        return False

    def _give_back(self, room: list[memoryview], length: int) -> None:
        """Give back what a frame of ``length`` bytes fills, at the front of ``room``."""
        queue = self.queues[RECEIVE]
        # Each buffer holds a byte, or more.
        header = room[:HEADER_SIZE]
        filled = queue.take(length)
        # 5.1.6.4.1: num_buffers is 1 if buffers are not merged.
        if len(header[0]) >= HEADER_SIZE:
            _NUM_BUFFERS.pack_into(header[0], _NUM_BUFFERS_AT, len(filled))
        else:
            parts = Buffers(header, sum(map(len, header)))
            parts.take(_NUM_BUFFERS_AT)
            parts.write(_NUM_BUFFERS.pack(len(filled)))
        queue.push_all(filled)
