"""Calls on sockets of AF_UNIX."""

from __future__ import annotations

import socket
import struct

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.guest.lockstep.sequence import (
    CHOICES,
    SMALL,
    SOCKET_KINDS,
    Kind,
    Sequence,
    may_open_more,
)

SOCKET_NAMES = st.sampled_from(["socket-named", "socket-named", "socket-new", "missing/d"])
OPTIONS = st.sampled_from(
    [socket.SO_TYPE, socket.SO_ERROR, socket.SO_ACCEPTCONN, socket.SO_DOMAIN, socket.SO_PROTOCOL]
)
MESSAGE_FLAGS = st.sampled_from([0, 0, socket.MSG_PEEK, socket.MSG_TRUNC, socket.MSG_DONTWAIT])


class SocketCalls(Sequence):
    """Rules for sockets."""

    @rule(choice=CHOICES, name=SOCKET_NAMES)
    def bind(self, choice: int, name: str) -> None:
        self.both("bind", self.pick(choice, Kind.SOCKET), name)

    @rule(choice=CHOICES)
    def listen(self, choice: int) -> None:
        fd = self.pick(choice, Kind.SOCKET)
        if self.both("listen", fd, 5) is not None:
            self.open[fd] = Kind.LISTENER

    @rule(choice=CHOICES, name=SOCKET_NAMES)
    def connect(self, choice: int, name: str) -> None:
        self.both("connect", self.pick(choice, Kind.SOCKET), name)

    @precondition(may_open_more)
    @rule(kind=st.sampled_from([*SOCKET_KINDS.values()]), length=SMALL)
    def connect_new(self, kind: int, length: int) -> None:
        """Connect to the one that has a name, accept that, and send."""
        fd = self.both("socket", socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
        self.opened(fd)
        if fd is not None and self.both("connect", fd, "socket-named") is not None:
            self.both("send", fd, self.text(length))

    @rule()
    def drain(self) -> None:
        """Read a little from all."""
        for fd in list(self.open):
            self.both("read", fd, 1000)

    @precondition(may_open_more)
    @rule(choice=CHOICES)
    def accept(self, choice: int) -> None:
        accepted = self.both("accept4", self.pick(choice, Kind.LISTENER), socket.SOCK_NONBLOCK)
        self.opened(accepted[0] if accepted else None)

    @rule(choice=CHOICES, how=st.integers(0, 3))
    def shutdown(self, choice: int, how: int) -> None:
        self.both("shutdown", self.pick(choice, Kind.SOCKET), how)

    @rule(choice=CHOICES, method=st.sampled_from(["getsockname", "getpeername"]))
    def name_of_socket(self, choice: int, method: str) -> None:
        self.both(method, self.pick(choice, Kind.SOCKET))

    @rule(choice=CHOICES, option=OPTIONS, length=st.sampled_from([0, 2, 4, 8]))
    def getsockopt(self, choice: int, option: int, length: int) -> None:
        self.both("getsockopt", self.pick(choice, Kind.SOCKET), socket.SOL_SOCKET, option, length)

    @rule(choice=CHOICES, length=SMALL)
    def send(self, choice: int, length: int) -> None:
        self.both("send", self.pick(choice, Kind.SOCKET), self.text(length), socket.MSG_NOSIGNAL)

    @rule(choice=CHOICES, length=SMALL, name=SOCKET_NAMES)
    def sendto(self, choice: int, length: int, name: str) -> None:
        self.both("sendto", self.pick(choice, Kind.SOCKET), self.text(length), 0, name)

    @rule(choice=CHOICES, length=SMALL, flags=MESSAGE_FLAGS)
    def recv(self, choice: int, length: int, flags: int) -> None:
        self.both("recvfrom", self.pick(choice, Kind.SOCKET), length, flags)

    @rule(choice=CHOICES, length=SMALL, passed=st.lists(CHOICES, max_size=2))
    def send_descriptors(self, choice: int, length: int, passed: list[int]) -> None:
        # Sockets in each other's queues are found as garbage, on Linux by a worker at some time.
        known = [fd for fd, kind in self.open.items() if kind not in (Kind.SOCKET, Kind.LISTENER)]
        descriptors = [known[number % len(known)] for number in passed if known]
        rights = struct.pack(f"{len(descriptors)}i", *descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        self.both("sendmsg", self.pick(choice, Kind.SOCKET), [self.text(length)], ancillary)

    @precondition(may_open_more)
    @rule(choice=CHOICES, length=SMALL, room=st.sampled_from([0, 24, 64]))
    def receive_descriptors(self, choice: int, length: int, room: int) -> None:
        received = self.both("recvmsg", self.pick(choice, Kind.SOCKET), length, room)
        for level, kind, data in received[1] if received else ():
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self.opened(*[number for (number,) in struct.iter_unpack("i", data)])
