"""Calls on descriptors, files of all kinds and their names; polling them."""

from __future__ import annotations

import os
import select

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.guest.lockstep.sequence import (
    BAD_DESCRIPTORS,
    CHOICES,
    NAMES,
    SMALL,
    Kind,
    Sequence,
    may_open_more,
)
from vmm.service import events, files

SIZES = st.sampled_from([0, 1, 2, 7, 100, 1000, 4095, 4096, 4097, 8192, 65536, 70000])
EVENTS = st.lists(
    st.sampled_from([select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP, select.EPOLLPRI])
).map(lambda bits: sum(set(bits)))
EPOLL_FLAGS = st.sampled_from([0, 0, select.EPOLLET, select.EPOLLONESHOT])

SPLICE_F_NONBLOCK = 2

ANONYMOUS = (Kind.EVENTFD, Kind.EPOLL)
SPLICED = (Kind.PIPE, Kind.FILE)
STREAMS = (Kind.PIPE, Kind.SOCKET, Kind.FILE)


class FileCalls(Sequence):
    """Rules that any file may be subject to."""

    # ---- Descriptors ----

    @rule(choice=CHOICES)
    def close(self, choice: int) -> None:
        fd = self.pick(choice)
        self.both("close", fd)
        self.open.pop(fd, None)

    @precondition(may_open_more)
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
