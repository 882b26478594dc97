"""A network without privileges: the guest's connections become the host's own, by ``passt``.

passt is a program of Debian and others that ends TCP, UDP and ICMP of a guest in sockets of its
user, and answers DHCP, NDP and DNS. It speaks Ethernet over a stream socket: before each frame is
its length, 32 bits, big-endian.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from struct import Struct

from vmm.devices.virtio import net
from vmm.devices.virtio.chain import copy_to
from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from vmm.lines import Descriptors

PROGRAM: Final = "passt"

LENGTH: Final = Struct(">I")

# The longest Ethernet frame.
_MAX_FRAME: Final = net.MAX_FRAME - net.HEADER_SIZE

# The header of a frame that is finished: no flags, no segments.
_PLAIN_HEADER: Final = bytes(net.HEADER_SIZE)

_CHUNK: Final = 1 << 16

# How long it may take to end once its socket is closed, and to refuse its options, in seconds.
_PATIENCE: Final = 2
_START: Final = 0.05


def _nothing() -> None:
    pass


class Passt:
    """The network behind a connection to a passt of its own.

    Attributes:
        offloads: the features of frames that the network takes or gives.
        on_frame: called when there is a frame, after `wait`.
    """

    offloads = net.F_MRG_RXBUF

    def __init__(self, events: Descriptors, options: Sequence[str] = ()) -> None:
        """Start passt with further command-line ``options``.

        Raises:
            UsageError: if it is not installed, or ends at once.
        """
        program = shutil.which(PROGRAM)
        if program is None:
            raise UsageError(
                f"--net user needs the program {PROGRAM}: install the package passt, or use tap="
            )
        self.on_frame: Callable[[], None] = _nothing
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _start(program, theirs.fileno(), options)
            except UsageError:
                self._socket.close()
                raise
        self._socket.setblocking(False)
        self._received = bytearray()
        self._unsent = b""
        self._waiting = False
        self._gone = False
        self._watch = events.watch(self._socket.fileno(), self._ready)

    def close(self) -> None:
        """End it; harmless when ended."""
        if self._socket.fileno() < 0:
            return
        self._watch.close()
        self._socket.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    # ---- net.Link ----

    def send(self, frame: list[memoryview]) -> None:
        """Send ``frame``; it is lost if passt takes no more, or is gone."""
        if self._unsent or self._gone:
            return
        content = b"".join(frame)[net.HEADER_SIZE :]
        content = LENGTH.pack(len(content)) + content
        self._unsent = content[self._transmit(content) :]
        if len(self._unsent) == len(content):
            self._unsent = b""
        self._arm()

    def receive(self, room: list[memoryview]) -> int:
        """Fill ``room`` with the next frame.

        Returns its length, or 0 if there is none or passt is gone.
        """
        while True:
            frame = self._take()
            if frame:
                return copy_to(room, frame)
            try:
                data = self._socket.recv(_CHUNK)
            except OSError:
                return 0
            if not data:
                self._gone = True
                return 0
            self._received += data

    def set_offloads(self, features: int) -> None:
        """Frames are always finished."""

    def wait(self) -> None:
        """Have `on_frame` called when there is a frame."""
        self._waiting = not self._gone
        self._arm()

    # ---- The stream ----

    def _take(self) -> bytes:
        """Take a whole frame from what was received, with a header, or b""."""
        received = self._received
        if len(received) < LENGTH.size:
            return b""
        (length,) = LENGTH.unpack_from(received)
        end = LENGTH.size + length
        if length > _MAX_FRAME:
            # Nothing behind it can be understood.
            self._gone = True
            received.clear()
            return b""
        if len(received) < end:
            return b""
        frame = _PLAIN_HEADER + received[LENGTH.size : end]
        del received[:end]
        return frame

    def _transmit(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except OSError:
            return 0

    def _has_frame(self) -> bool:
        """Tell whether a whole frame was received behind those taken."""
        received = self._received
        return (
            len(received) >= LENGTH.size
            and len(received) >= LENGTH.size + LENGTH.unpack_from(received)[0]
        )

    def _arm(self) -> None:
        # For a frame that is here already no more data may come: be called at once, then.
        at_once = self._waiting and self._has_frame()
        self._watch.arm(read=self._waiting, write=bool(self._unsent) or at_once)

    def _ready(self) -> None:
        if self._unsent:
            self._unsent = self._unsent[self._transmit(self._unsent) :]
        if self._waiting:
            self._waiting = False
            self.on_frame()
        self._arm()


def _start(program: str, fd: int, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start passt on the connected socket ``fd``.

    Raises:
        UsageError: if it ends at once; with its own words.
    """
    with open(os.memfd_create("passt-messages"), "w+b", buffering=0) as messages:
        process = subprocess.Popen(
            [program, "--foreground", "--quiet", "--fd", str(fd), *options],
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=messages,
        )
        try:
            process.wait(_START)
        except subprocess.TimeoutExpired:
            return process
        messages.seek(0)
        lines = messages.read().decode(errors="replace").splitlines()
    said = [line for line in lines if line and "syslog" not in line]
    raise UsageError(f"--net user: {PROGRAM} ended: {said[-1] if said else 'without a word'}")
