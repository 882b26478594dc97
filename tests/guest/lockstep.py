"""Random system calls on Linux and in the guest, in lock step: all that can be seen is the same.

    python -m tests.guest.lockstep --steps 10000 --arch arm64

Both sides get the same calls with the same arguments, descriptor numbers included; results, errno
values, readiness and what was read are compared after each. All files are non-blocking, so that no
call waits.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import select
import socket
import stat
import struct
import sys
import time
from typing import Any

import hypothesis
from hypothesis import HealthCheck, settings
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
NAMES = st.sampled_from(["a", "b", "directory", "directory/c", "missing/d", ""])
EVENTS = st.lists(
    st.sampled_from([select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP, select.EPOLLPRI])
).map(lambda bits: sum(set(bits)))
EPOLL_FLAGS = st.sampled_from([0, 0, select.EPOLLET, select.EPOLLONESHOT])
SOCKET_TYPES = st.sampled_from([socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
OPTIONS = st.sampled_from(
    [socket.SO_TYPE, socket.SO_ERROR, socket.SO_ACCEPTCONN, socket.SO_DOMAIN, socket.SO_PROTOCOL]
)
MESSAGE_FLAGS = st.sampled_from([0, 0, socket.MSG_PEEK, socket.MSG_TRUNC, socket.MSG_DONTWAIT])

# What no descriptor in these sequences is.
BAD_DESCRIPTORS = (-1, 500)

_COUNTER = {"steps": 0}


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

    @initialize()
    def begin(self) -> None:
        self.linux, self.guest = self.peers.renew()
        self.open: list[int] = []
        self.serial = 0

    # ---- Making the calls ----

    def both(self, method: str, *arguments: Any) -> Any:
        """Make a call on both sides; return its result, or None where it failed on both."""
        _COUNTER["steps"] += 1
        outcomes = [attempt(task, method, arguments) for task in (self.linux, self.guest)]
        assert outcomes[1] == outcomes[0], (
            f"{method}{arguments}: the guest gives {short(outcomes[1])}, Linux {short(outcomes[0])}"
        )
        return outcomes[0] if not isinstance(outcomes[0], str) else None

    def opened(self, *descriptors: int | None) -> None:
        for fd in descriptors:
            if fd is not None and fd not in self.open:
                self.open.append(fd)

    def pick(self, choice: int) -> int:
        """Return an open descriptor, and now and then one that is not."""
        known = [*self.open, *(BAD_DESCRIPTORS if choice % 16 == 0 else ())]
        return known[choice % len(known)] if known else BAD_DESCRIPTORS[0]

    def is_of_type(self, fd: int, kind: int) -> bool:
        outcome = attempt(self.linux, "fstat", (fd,))
        return isinstance(outcome, tuple) and stat.S_IFMT(outcome[0]) == kind

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
    @rule(kind=SOCKET_TYPES)
    def socketpair(self, kind: int) -> None:
        pair = self.both("socketpair", socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
        self.opened(*(pair or ()))

    @precondition(lambda self: len(self.open) < 24)
    @rule(kind=SOCKET_TYPES)
    def socket(self, kind: int) -> None:
        self.opened(self.both("socket", socket.AF_UNIX, kind | socket.SOCK_NONBLOCK))

    @precondition(lambda self: len(self.open) < 24)
    @rule(value=st.sampled_from([0, 1, 7]), flags=st.sampled_from([0, os.EFD_SEMAPHORE]))
    def eventfd(self, value: int, flags: int) -> None:
        self.opened(self.both("eventfd", value, os.EFD_NONBLOCK | flags))

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

    @rule(choice=st.integers(0, 99))
    def close(self, choice: int) -> None:
        fd = self.pick(choice)
        self.both("close", fd)
        if fd in self.open:
            self.open.remove(fd)

    @precondition(lambda self: len(self.open) < 24)
    @rule(choice=st.integers(0, 99))
    def dup(self, choice: int) -> None:
        self.opened(self.both("dup", self.pick(choice)))

    @rule(choice=st.integers(0, 99), other=st.integers(0, 99))
    def dup2(self, choice: int, other: int) -> None:
        target = self.pick(other)
        if target < 100:
            self.opened(self.both("dup2", self.pick(choice), target))

    @rule(choice=st.integers(0, 99), cmd=st.sampled_from([1, files.F_GETFL, files.F_GETPIPE_SZ]))
    def get_by_fcntl(self, choice: int, cmd: int) -> None:
        self.both("fcntl", self.pick(choice), cmd)

    @rule(choice=st.integers(0, 99), flags=st.sampled_from([0, os.O_DIRECT, os.O_APPEND]))
    def set_flags(self, choice: int, flags: int) -> None:
        fd = self.pick(choice)
        # What direct transfers of a regular file must be aligned to is its file system's matter.
        if self.is_of_type(fd, stat.S_IFREG):
            flags &= ~os.O_DIRECT
        self.both("fcntl", fd, files.F_SETFL, os.O_NONBLOCK | flags)

    @rule(choice=st.integers(0, 99), size=st.sampled_from([1, 4096, 5000, 8192, 65536, 1 << 20]))
    def set_pipe_size(self, choice: int, size: int) -> None:
        self.both("fcntl", self.pick(choice), files.F_SETPIPE_SZ, size)

    @rule(choice=st.integers(0, 99))
    def fstat(self, choice: int) -> None:
        self.both("fstat", self.pick(choice))

    # ---- Reading and writing ----

    @rule(choice=st.integers(0, 99), length=SIZES)
    def read(self, choice: int, length: int) -> None:
        self.both("read", self.pick(choice), length)

    @rule(choice=st.integers(0, 99), length=SIZES)
    def write(self, choice: int, length: int) -> None:
        fd = self.pick(choice)
        if self.is_of_type(fd, stat.S_IFSOCK):
            length = min(length, 1000)
        if self.is_of_type(fd, 0):
            length = min(length, 8)  # an eventfd takes more before Linux 6.7 only
        self.both("write", fd, self.text(length))

    @rule(choice=st.integers(0, 99), value=st.sampled_from([0, 1, 5, (1 << 64) - 2, (1 << 64) - 1]))
    def add(self, choice: int, value: int) -> None:
        self.both("eventfd_write", self.pick(choice), value)

    @rule(choice=st.integers(0, 99), lengths=st.lists(SMALL, max_size=4))
    def readv(self, choice: int, lengths: list[int]) -> None:
        self.both("readv", self.pick(choice), lengths)

    @rule(choice=st.integers(0, 99), lengths=st.lists(SMALL, max_size=4))
    def writev(self, choice: int, lengths: list[int]) -> None:
        fd = self.pick(choice)
        if self.is_of_type(fd, 0):
            lengths = lengths[:1] and [8]
        self.both("writev", fd, [self.text(length) for length in lengths])

    @rule(choice=st.integers(0, 99), length=SIZES, offset=st.sampled_from([0, 5, 4090, -1]))
    def pread(self, choice: int, length: int, offset: int) -> None:
        self.both("pread", self.pick(choice), length, offset)

    @rule(choice=st.integers(0, 99), length=SIZES, offset=st.sampled_from([0, 5, 4090, -1]))
    def pwrite(self, choice: int, length: int, offset: int) -> None:
        self.both("pwrite", self.pick(choice), self.text(length), offset)

    @rule(
        choice=st.integers(0, 99),
        offset=st.sampled_from([-5, 0, 3, 5000]),
        whence=st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END, 9]),
    )
    def lseek(self, choice: int, offset: int, whence: int) -> None:
        self.both("lseek", self.pick(choice), offset, whence)

    @rule(choice=st.integers(0, 99), length=st.sampled_from([0, 10, 5000, -1]))
    def ftruncate(self, choice: int, length: int) -> None:
        self.both("ftruncate", self.pick(choice), length)

    # ---- Sockets ----

    @rule(choice=st.integers(0, 99), name=NAMES)
    def bind(self, choice: int, name: str) -> None:
        if name:
            self.both("bind", self.pick(choice), f"socket-{name}".replace("/", "-"))

    @rule(choice=st.integers(0, 99))
    def listen(self, choice: int) -> None:
        self.both("listen", self.pick(choice), 5)

    @rule(choice=st.integers(0, 99), name=NAMES)
    def connect(self, choice: int, name: str) -> None:
        self.both("connect", self.pick(choice), f"socket-{name}".replace("/", "-"))

    @precondition(lambda self: len(self.open) < 24)
    @rule(choice=st.integers(0, 99))
    def accept(self, choice: int) -> None:
        accepted = self.both("accept4", self.pick(choice), socket.SOCK_NONBLOCK)
        self.opened(accepted[0] if accepted else None)

    @rule(choice=st.integers(0, 99), how=st.integers(0, 3))
    def shutdown(self, choice: int, how: int) -> None:
        self.both("shutdown", self.pick(choice), how)

    @rule(choice=st.integers(0, 99), method=st.sampled_from(["getsockname", "getpeername"]))
    def name_of_socket(self, choice: int, method: str) -> None:
        self.both(method, self.pick(choice))

    @rule(choice=st.integers(0, 99), option=OPTIONS, length=st.sampled_from([0, 2, 4, 8]))
    def getsockopt(self, choice: int, option: int, length: int) -> None:
        self.both("getsockopt", self.pick(choice), socket.SOL_SOCKET, option, length)

    @rule(choice=st.integers(0, 99), length=SMALL)
    def send(self, choice: int, length: int) -> None:
        self.both("send", self.pick(choice), self.text(length), socket.MSG_NOSIGNAL)

    @rule(choice=st.integers(0, 99), length=SMALL, name=NAMES)
    def sendto(self, choice: int, length: int, name: str) -> None:
        address = f"socket-{name}".replace("/", "-")
        self.both("sendto", self.pick(choice), self.text(length), 0, address)

    @rule(choice=st.integers(0, 99), length=SMALL, flags=MESSAGE_FLAGS)
    def recv(self, choice: int, length: int, flags: int) -> None:
        self.both("recvfrom", self.pick(choice), length, flags)

    @rule(choice=st.integers(0, 99), length=SMALL, passed=st.lists(st.integers(0, 99), max_size=2))
    def send_descriptors(self, choice: int, length: int, passed: list[int]) -> None:
        descriptors = [self.pick(number) for number in passed]
        rights = struct.pack(f"{len(descriptors)}i", *descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        self.both("sendmsg", self.pick(choice), [self.text(length)], ancillary)

    @precondition(lambda self: len(self.open) < 24)
    @rule(choice=st.integers(0, 99), length=SMALL, room=st.sampled_from([0, 24, 64]))
    def receive_descriptors(self, choice: int, length: int, room: int) -> None:
        received = self.both("recvmsg", self.pick(choice), length, room)
        for level, kind, data in received[1] if received else ():
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self.opened(*[number for (number,) in struct.iter_unpack("i", data)])

    # ---- Events ----

    @rule(
        choice=st.integers(0, 99),
        op=st.sampled_from([events.EPOLL_CTL_ADD, events.EPOLL_CTL_ADD, 2, 3, 4]),
        watched=st.integers(0, 99),
        wanted=EVENTS,
        flags=EPOLL_FLAGS,
    )
    def epoll_ctl(self, choice: int, op: int, watched: int, wanted: int, flags: int) -> None:
        self.both("epoll_ctl", self.pick(choice), op, self.pick(watched), wanted | flags)

    @rule(choice=st.integers(0, 99), most=st.sampled_from([64, 64, 64, 0, -1]))
    def epoll_wait(self, choice: int, most: int) -> None:
        self.both("epoll_wait", self.pick(choice), most, 0)

    @rule(wanted=EVENTS)
    def poll(self, wanted: int) -> None:
        self.both("poll", [(fd, wanted) for fd in (*self.open, BAD_DESCRIPTORS[1])], 0)


def attempt(task: Task, method: str, arguments: tuple[Any, ...]) -> Any:
    """Make a call: its result in a form that can be compared, or the name of its error."""
    try:
        result = getattr(task, method)(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    if method == "epoll_wait":
        return sorted(result)
    if isinstance(result, os.stat_result):
        regular = stat.S_ISREG(result.st_mode)
        return (result.st_mode, result.st_nlink, result.st_size if regular else 0)
    return () if result is None else result


def short(outcome: object) -> str:
    text = repr(outcome)
    return text if len(text) < 300 else f"{text[:200]}... ({len(text)} characters)"


def run(peers: Peers, steps: int, seed: int) -> int:
    """Run sequences until there were this many steps; return how many there were."""
    _COUNTER["steps"] = 0
    number = random.Random(seed)
    machine = type("Sequence", (Lockstep,), {"peers": peers})
    while _COUNTER["steps"] < steps:
        left = steps - _COUNTER["steps"]
        one = hypothesis.seed(number.getrandbits(32))(machine)
        run_state_machine_as_test(
            one,
            settings=settings(
                max_examples=max(left // LENGTH, 1),
                stateful_step_count=LENGTH,
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
        steps = run(peers, options.steps, options.seed)
    finally:
        peers.close()
    seconds = time.monotonic() - started
    print(f"{options.arch}: {steps} steps without a difference in {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
