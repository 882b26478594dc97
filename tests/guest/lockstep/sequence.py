"""A sequence of calls: its open files, how calls are made on both sides; calls that make files."""

from __future__ import annotations

import enum
import os
import socket
import stat
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.guest.lockstep.peers import Failure, Peers, attempt, short

SOCKET_KINDS = {
    "streams": socket.SOCK_STREAM,
    "datagrams": socket.SOCK_DGRAM,
    "packets": socket.SOCK_SEQPACKET,
}
SMALL = st.sampled_from([0, 1, 2, 7, 100, 1000])
NAMES = st.sampled_from(["a", "b", "directory", "directory/c", "missing/d", ""])

# What of the open files, or of what else is there, a call takes.
CHOICES = st.integers(0, 999)

# What no descriptor in these sequences is.
BAD_DESCRIPTORS = (-1, 500)

MOST_OPEN = 24


class Kind(enum.Enum):
    """What a descriptor is of, as far as the choice of calls is concerned."""

    PIPE = enum.auto()
    SOCKET = enum.auto()
    LISTENER = enum.auto()
    FILE = enum.auto()
    EVENTFD = enum.auto()
    EPOLL = enum.auto()


KINDS = {stat.S_IFIFO: Kind.PIPE, stat.S_IFSOCK: Kind.SOCKET, stat.S_IFREG: Kind.FILE}


def may_open_more(sequence: Sequence) -> bool:
    return len(sequence.open) < MOST_OPEN


class Sequence(RuleBasedStateMachine):
    """What all calls of a sequence need."""

    peers: Peers

    @initialize(theme=st.sampled_from(["", "pipes", "events", "files", *SOCKET_KINDS]))
    def begin(self, theme: str) -> None:
        """Begin with nothing, or with a few files that have to do with each other."""
        self.linux, self.guest = self.peers.renew()
        self.open: dict[int, Kind] = {}
        self.serial = 0
        if theme == "pipes":
            self.pipe(0)
            self.pipe(os.O_DIRECT)
        elif theme == "events":
            self.pipe(0)
            self.eventfd(1, 0)
            self.epoll()
            self.epoll()
        elif theme == "files":
            self.open_file("a", os.O_RDWR, 0)
            self.open_file("b", os.O_WRONLY, os.O_APPEND)
        elif theme:
            self.furnish_sockets(SOCKET_KINDS[theme])

    def furnish_sockets(self, kind: socket.SocketKind) -> None:
        """Make two that are connected, one that has a name, and one that has nothing."""
        self.socketpair(kind)
        self.epoll()
        named = self.both("socket", socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
        self.both("bind", named, "socket-named")
        listens = self.both("listen", named, 3) is not None
        self.opened(named, kind=Kind.LISTENER if listens else Kind.SOCKET)
        self.socket(kind)

    # ---- Making the calls ----

    def both(self, method: str, *arguments: Any) -> Any:
        """Make a call on both sides; return its result, or None where it failed on both."""
        self.peers.steps += 1
        outcomes = [attempt(task, method, arguments) for task in (self.linux, self.guest)]
        assert outcomes[1] == outcomes[0], (
            f"{method}{arguments}: the guest gives {short(outcomes[1])}, Linux {short(outcomes[0])}"
        )
        return outcomes[0] if not isinstance(outcomes[0], Failure) else None

    def opened(self, *descriptors: int | None, kind: Kind | None = None) -> None:
        for fd in descriptors:
            if fd is not None:
                self.open[fd] = kind or self.kind_of(fd)

    def differ(self, fd: int, other: int) -> bool:
        """Tell whether two descriptors are of different files."""
        numbers = [attempt(self.linux, "fstat", (each,))[1] for each in (fd, other)]
        return numbers[0] != numbers[1]

    def kind_of(self, fd: int) -> Kind:
        mode, *_ = attempt(self.linux, "fstat", (fd,))
        return KINDS.get(stat.S_IFMT(mode), Kind.EPOLL)

    def pick(self, choice: int, *preferred: Kind) -> int:
        """Return an open descriptor, mostly of a preferred kind, and now and then a bad one."""
        if choice % 16 == 0 or not self.open:
            return BAD_DESCRIPTORS[choice % len(BAD_DESCRIPTORS)]
        liked = [fd for fd, kind in self.open.items() if kind in preferred]
        known = liked if liked and choice % 8 else list(self.open)
        return known[choice // 8 % len(known)]

    def text(self, length: int) -> bytes:
        """Return bytes that are different each time."""
        self.serial += 1
        unit = b"%d." % self.serial
        return (unit * (length // len(unit) + 1))[:length]

    # ---- Making files ----

    @precondition(may_open_more)
    @rule(flags=st.sampled_from([0, os.O_DIRECT, os.O_CLOEXEC]))
    def pipe(self, flags: int) -> None:
        self.opened(*(self.both("pipe2", os.O_NONBLOCK | flags) or ()))

    @precondition(may_open_more)
    @rule(kind=st.sampled_from([*SOCKET_KINDS.values()]))
    def socketpair(self, kind: int) -> None:
        pair = self.both("socketpair", socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
        self.opened(*(pair or ()))

    @precondition(may_open_more)
    @rule(kind=st.sampled_from([*SOCKET_KINDS.values()]))
    def socket(self, kind: int) -> None:
        self.opened(self.both("socket", socket.AF_UNIX, kind | socket.SOCK_NONBLOCK))

    @precondition(may_open_more)
    @rule(value=st.sampled_from([0, 1, 7]), flags=st.sampled_from([0, os.EFD_SEMAPHORE]))
    def eventfd(self, value: int, flags: int) -> None:
        fd = self.both("eventfd", value, os.EFD_NONBLOCK | flags)
        self.opened(fd, kind=Kind.EVENTFD)

    @precondition(may_open_more)
    @rule()
    def epoll(self) -> None:
        self.opened(self.both("epoll_create1", 0))

    @precondition(may_open_more)
    @rule(
        name=NAMES,
        flags=st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR]),
        more=st.sampled_from([0, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_TRUNC, os.O_APPEND]),
    )
    def open_file(self, name: str, flags: int, more: int) -> None:
        self.opened(self.both("open", name, os.O_NONBLOCK | flags | more | os.O_CREAT, 0o644))
