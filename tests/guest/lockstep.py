"""Random system calls on Linux and in the guest, in lock step: all that can be seen is the same.

    python -m tests.guest.lockstep --steps 10000 --arch arm64

Both sides get the same calls with the same arguments, descriptor numbers included; results, errno
values, readiness and what was read are compared after each. All files are non-blocking, so that no
call waits.
"""

from __future__ import annotations

import argparse
import enum
import errno
import os
import random
import select
import socket
import stat
import struct
import sys
import time
from typing import Any, NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.guest.linux_calls import CONTROL, Linux
from vmm import Machine
from vmm.service import events, files
from vmm.service.guest import Task

# Steps of one sequence.
LENGTH = 60

CALL_TIMEOUT = 20.0

SIZES = st.sampled_from([0, 1, 2, 7, 100, 1000, 4095, 4096, 4097, 8192, 65536, 70000])
SMALL = st.sampled_from([0, 1, 2, 7, 100, 1000])
SOCKET_NAMES = st.sampled_from(["socket-named", "socket-named", "socket-new", "missing/d"])
SOCKET_KINDS = {
    "streams": socket.SOCK_STREAM,
    "datagrams": socket.SOCK_DGRAM,
    "packets": socket.SOCK_SEQPACKET,
}
NAMES = st.sampled_from(["a", "b", "directory", "directory/c", "missing/d", ""])
EVENTS = st.lists(
    st.sampled_from([select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP, select.EPOLLPRI])
).map(lambda bits: sum(set(bits)))
EPOLL_FLAGS = st.sampled_from([0, 0, select.EPOLLET, select.EPOLLONESHOT])
CHOICES = st.integers(0, 999)
OPTIONS = st.sampled_from(
    [socket.SO_TYPE, socket.SO_ERROR, socket.SO_ACCEPTCONN, socket.SO_DOMAIN, socket.SO_PROTOCOL]
)
MESSAGE_FLAGS = st.sampled_from([0, 0, socket.MSG_PEEK, socket.MSG_TRUNC, socket.MSG_DONTWAIT])

SPLICE_F_NONBLOCK = 2

# Sending by a socket that is shut down and has no peer: Linux 6.14 looks at the former first.
SENDING = ("write", "writev", "eventfd_write", "send", "sendmsg")
ALIKE = dict.fromkeys(("ENOTCONN", "EPIPE"), "ENOTCONN or EPIPE")

# What no descriptor in these sequences is.
BAD_DESCRIPTORS = (-1, 500)

_COUNTER = {"steps": 0}


class Failure(NamedTuple):
    """What a call that fails gives."""

    name: str


class Kind(enum.Enum):
    """What a descriptor is of, as far as the choice of calls is concerned."""

    PIPE = enum.auto()
    SOCKET = enum.auto()
    LISTENER = enum.auto()
    FILE = enum.auto()
    EVENTFD = enum.auto()
    EPOLL = enum.auto()


KINDS = {stat.S_IFIFO: Kind.PIPE, stat.S_IFSOCK: Kind.SOCKET, stat.S_IFREG: Kind.FILE}
ANONYMOUS = (Kind.EVENTFD, Kind.EPOLL)
SPLICED = (Kind.PIPE, Kind.FILE)
STREAMS = (Kind.PIPE, Kind.SOCKET, Kind.FILE)


class Peers:
    """A Linux task and a guest's, each of them used for many sequences."""

    def __init__(self, arch: str, backend: str = "unicorn") -> None:
        self._linux = Linux()
        self.linux = self._linux.task
        self._options = {"arch": arch, "backend": backend}
        self._machine: Machine | None = None
        self._sequences = 0

    @property
    def guest(self) -> Task:
        """The guest's first task; of a new machine where the last one has ended."""
        if self._machine is not None and self._machine.outcome is not None:
            self._machine.close()
            self._machine = None
        if self._machine is None:
            self._machine = Machine.service(**self._options)
            self._machine.guest.timeout = CALL_TIMEOUT
        return self._machine.guest

    def renew(self) -> tuple[Task, Task]:
        """Return both without open files, in a new directory each."""
        self._sequences += 1
        tasks = self.linux, self.guest
        for task in tasks:
            task.close_range(3, CONTROL - 1)
            if self._sequences > 1:
                task.chdir("..")
            name = f"sequence{self._sequences}"
            if name not in task.listdir("."):
                task.mkdir(name)
            task.chdir(name)
        return tasks

    def close(self) -> None:
        self._linux.__exit__(None, None, None)
        if self._machine is not None:
            self._machine.close()


class Lockstep(RuleBasedStateMachine):
    """One sequence."""

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
        _COUNTER["steps"] += 1
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

    @precondition(lambda self: len(self.open) < 24)
    @rule(flags=st.sampled_from([0, os.O_DIRECT, os.O_CLOEXEC]))
    def pipe(self, flags: int) -> None:
        self.opened(*(self.both("pipe2", os.O_NONBLOCK | flags) or ()))

    @precondition(lambda self: len(self.open) < 24)
    @rule(kind=st.sampled_from([*SOCKET_KINDS.values()]))
    def socketpair(self, kind: int) -> None:
        pair = self.both("socketpair", socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
        self.opened(*(pair or ()))

    @precondition(lambda self: len(self.open) < 24)
    @rule(kind=st.sampled_from([*SOCKET_KINDS.values()]))
    def socket(self, kind: int) -> None:
        self.opened(self.both("socket", socket.AF_UNIX, kind | socket.SOCK_NONBLOCK))

    @precondition(lambda self: len(self.open) < 24)
    @rule(value=st.sampled_from([0, 1, 7]), flags=st.sampled_from([0, os.EFD_SEMAPHORE]))
    def eventfd(self, value: int, flags: int) -> None:
        fd = self.both("eventfd", value, os.EFD_NONBLOCK | flags)
        self.opened(fd, kind=Kind.EVENTFD)

    @precondition(lambda self: len(self.open) < 24)
    @rule()
    def epoll(self) -> None:
        self.opened(self.both("epoll_create1", 0))

    @precondition(lambda self: len(self.open) < 24)
    @rule(
        name=NAMES,
        flags=st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR]),
        more=st.sampled_from([0, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_TRUNC, os.O_APPEND]),
    )
    def open_file(self, name: str, flags: int, more: int) -> None:
        self.opened(self.both("open", name, os.O_NONBLOCK | flags | more | os.O_CREAT, 0o644))

    # ---- Descriptors ----

    @rule(choice=CHOICES)
    def close(self, choice: int) -> None:
        fd = self.pick(choice)
        self.both("close", fd)
        self.open.pop(fd, None)

    @precondition(lambda self: len(self.open) < 24)
    @rule(choice=CHOICES)
    def dup(self, choice: int) -> None:
        fd = self.pick(choice)
        self.opened(self.both("dup", fd), kind=self.open.get(fd))

    @rule(choice=CHOICES, other=CHOICES)
    def dup2(self, choice: int, other: int) -> None:
        target = self.pick(other)
        if target < 100:
            fd = self.pick(choice)
            self.opened(self.both("dup2", fd, target), kind=self.open.get(fd))

    @rule(choice=CHOICES, cmd=st.sampled_from([1, files.F_GETFL, files.F_GETPIPE_SZ]))
    def get_by_fcntl(self, choice: int, cmd: int) -> None:
        self.both("fcntl", self.pick(choice), cmd)

    @rule(choice=CHOICES, flags=st.sampled_from([0, os.O_DIRECT, os.O_APPEND]))
    def set_flags(self, choice: int, flags: int) -> None:
        fd = self.pick(choice)
        # What direct transfers of a regular file must be aligned to is its file system's matter.
        if self.open.get(fd) == Kind.FILE:
            flags &= ~os.O_DIRECT
        self.both("fcntl", fd, files.F_SETFL, os.O_NONBLOCK | flags)

    @rule(choice=CHOICES, size=st.sampled_from([1, 4096, 5000, 8192, 65536, 1 << 20]))
    def set_pipe_size(self, choice: int, size: int) -> None:
        self.both("fcntl", self.pick(choice, Kind.PIPE), files.F_SETPIPE_SZ, size)

    @rule(choice=CHOICES)
    def fstat(self, choice: int) -> None:
        self.both("fstat", self.pick(choice))

    # ---- Reading and writing ----

    @rule(choice=CHOICES, length=SIZES)
    def read(self, choice: int, length: int) -> None:
        self.both("read", self.pick(choice, *STREAMS), length)

    @rule(choice=CHOICES, length=SIZES)
    def write(self, choice: int, length: int) -> None:
        fd = self.pick(choice, *STREAMS)
        if self.open.get(fd) == Kind.SOCKET:
            length = min(length, 1000)
        if self.open.get(fd) in ANONYMOUS:
            length = min(length, 8)  # an eventfd takes more before Linux 6.7 only
        self.both("write", fd, self.text(length))

    @rule(choice=CHOICES, value=st.sampled_from([0, 1, 5, (1 << 64) - 2, (1 << 64) - 1]))
    def add(self, choice: int, value: int) -> None:
        self.both("eventfd_write", self.pick(choice, Kind.EVENTFD), value)

    @rule(choice=CHOICES, lengths=st.lists(SMALL, max_size=4))
    def readv(self, choice: int, lengths: list[int]) -> None:
        self.both("readv", self.pick(choice, *STREAMS), lengths)

    @rule(choice=CHOICES, lengths=st.lists(SMALL, max_size=4))
    def writev(self, choice: int, lengths: list[int]) -> None:
        fd = self.pick(choice, *STREAMS)
        if self.open.get(fd) in ANONYMOUS:
            lengths = lengths[:1] and [8]
        self.both("writev", fd, [self.text(length) for length in lengths])

    @rule(choice=CHOICES, length=SIZES, offset=st.sampled_from([0, 5, 4090, -1]))
    def pread(self, choice: int, length: int, offset: int) -> None:
        self.both("pread", self.pick(choice, Kind.FILE), length, offset)

    @rule(choice=CHOICES, length=SIZES, offset=st.sampled_from([0, 5, 4090, -1]))
    def pwrite(self, choice: int, length: int, offset: int) -> None:
        self.both("pwrite", self.pick(choice, Kind.FILE), self.text(length), offset)

    @rule(
        choice=CHOICES,
        offset=st.sampled_from([-5, 0, 3, 5000]),
        whence=st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END, 9]),
    )
    def lseek(self, choice: int, offset: int, whence: int) -> None:
        self.both("lseek", self.pick(choice, Kind.FILE), offset, whence)

    @rule(choice=CHOICES, length=st.sampled_from([0, 10, 5000, -1]))
    def ftruncate(self, choice: int, length: int) -> None:
        self.both("ftruncate", self.pick(choice, Kind.FILE), length)

    @rule(choice=CHOICES, other=CHOICES, count=SIZES, offset=st.sampled_from([None, 0, 5]))
    def sendfile(self, choice: int, other: int, count: int, offset: int | None) -> None:
        source, target = self.pick(choice, Kind.FILE), self.pick(other, Kind.FILE)
        # DIFFERENCES.md: where a pipe is full, the guest's kernel says so after it has read; and
        # what a file gives itself is copied.
        if self.open.get(source) == self.open.get(target) == Kind.FILE and self.differ(
            source, target
        ):
            self.both("sendfile", target, source, offset, count)

    @rule(choice=CHOICES, other=CHOICES, length=SIZES)
    def splice(self, choice: int, other: int, length: int) -> None:
        # Out of pipes only: what comes from a file is a copy here, and on Linux its page.
        source, target = self.pick(choice, Kind.PIPE), self.pick(other, *SPLICED)
        if self.open.get(source) != Kind.FILE and {
            self.open.get(source),
            self.open.get(target),
        } <= {*SPLICED, None}:
            self.both("syscall", "splice", source, 0, target, 0, length, SPLICE_F_NONBLOCK)

    # ---- Names ----

    @rule(name=NAMES)
    def mkdir(self, name: str) -> None:
        self.both("mkdir", name)

    @rule(name=NAMES, method=st.sampled_from(["rmdir", "unlink", "readlink", "stat", "lstat"]))
    def one_name(self, name: str, method: str) -> None:
        self.both(method, name)

    @rule(name=NAMES, other=NAMES, method=st.sampled_from(["rename", "link", "symlink"]))
    def two_names(self, name: str, other: str, method: str) -> None:
        self.both(method, name, other)

    @rule(name=NAMES, length=st.sampled_from([0, 10, 5000, -1]))
    def truncate(self, name: str, length: int) -> None:
        self.both("truncate", name, length)

    @rule(name=NAMES)
    def listdir(self, name: str) -> None:
        self.both("listdir", name)

    # ---- Sockets ----

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

    @precondition(lambda self: len(self.open) < 24)
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

    @precondition(lambda self: len(self.open) < 24)
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

    @precondition(lambda self: len(self.open) < 24)
    @rule(choice=CHOICES, length=SMALL, room=st.sampled_from([0, 24, 64]))
    def receive_descriptors(self, choice: int, length: int, room: int) -> None:
        received = self.both("recvmsg", self.pick(choice, Kind.SOCKET), length, room)
        for level, kind, data in received[1] if received else ():
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self.opened(*[number for (number,) in struct.iter_unpack("i", data)])

    # ---- Events ----

    @rule(
        choice=CHOICES,
        op=st.sampled_from([events.EPOLL_CTL_ADD, events.EPOLL_CTL_ADD, 2, 3, 4]),
        watched=CHOICES,
        wanted=EVENTS,
        flags=EPOLL_FLAGS,
    )
    def epoll_ctl(self, choice: int, op: int, watched: int, wanted: int, flags: int) -> None:
        self.both(
            "epoll_ctl", self.pick(choice, Kind.EPOLL), op, self.pick(watched), wanted | flags
        )

    @rule(choice=CHOICES, most=st.sampled_from([64, 64, 64, 0, -1]))
    def epoll_wait(self, choice: int, most: int) -> None:
        self.both("epoll_wait", self.pick(choice, Kind.EPOLL), most, 0)

    @rule(wanted=EVENTS)
    def poll(self, wanted: int) -> None:
        self.both("poll", [(fd, wanted) for fd in (*self.open, BAD_DESCRIPTORS[1])], 0)


def attempt(task: Task, method: str, arguments: tuple[Any, ...]) -> Any:
    """Make a call: its result in a form that can be compared, or the name of its error."""
    try:
        result = getattr(task, method)(*arguments)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "?")
        return Failure(ALIKE.get(name, name) if method in SENDING else name)
    if method in ("epoll_wait", "listdir"):
        return sorted(result)
    if isinstance(result, os.stat_result):
        size = result.st_size if stat.S_ISREG(result.st_mode) else 0
        # How many links a directory has is its file system's matter.
        links = 0 if stat.S_ISDIR(result.st_mode) else result.st_nlink
        return (result.st_mode, links, size)
    return () if result is None else result


def short(outcome: object) -> str:
    text = repr(outcome)
    return text if len(text) < 300 else f"{text[:200]}... ({len(text)} characters)"


def run(peers: Peers, steps: int, seed: int, *, shrink: bool = False) -> int:
    """Run sequences until there were this many steps; return how many there were.

    With ``shrink``, a sequence that fails is made as short as it can be, which may take minutes.
    """
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    _COUNTER["steps"] = 0
    number = random.Random(seed)
    machine = type("Sequence", (Lockstep,), {"peers": peers})
    while _COUNTER["steps"] < steps:
        left = steps - _COUNTER["steps"]
        one = hypothesis.seed(number.getrandbits(32))(machine)
        run_state_machine_as_test(
            one,
            settings=settings(
                # The first sequence is the shortest there can be: one alone would get nowhere.
                max_examples=max(left // LENGTH, 2),
                stateful_step_count=LENGTH,
                phases=phases,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    return _COUNTER["steps"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guest.lockstep", description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--arch", choices=("x86_64", "arm64"), default="x86_64")
    parser.add_argument("--backend", choices=("unicorn", "kvm"), default="unicorn")
    parser.add_argument("--seed", type=int, default=random.getrandbits(32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    started = time.monotonic()
    peers = Peers(options.arch, options.backend)
    try:
        steps = run(peers, options.steps, options.seed, shrink=True)
    finally:
        peers.close()
    seconds = time.monotonic() - started
    print(f"{options.arch}: {steps} steps without a difference in {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
