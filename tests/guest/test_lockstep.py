"""The guest and Linux make the same calls; `tests.guest.lockstep` runs more of them."""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import stat
import time
from collections.abc import Iterator

import pytest

from tests.guest.lockstep.peers import Peers, attempt
from tests.guest.lockstep.run import run
from vmm.service import files
from vmm.service.guest import Task

STEPS = 3000


@pytest.fixture(scope="module")
def peers_of() -> Iterator[dict[str, Peers]]:
    made: dict[str, Peers] = {}
    yield made
    for peers in made.values():
        peers.close()


@pytest.fixture
def peers(arch: str, peers_of: dict[str, Peers]) -> Peers:
    if arch not in peers_of:
        peers_of[arch] = Peers(arch)
    return peers_of[arch]


def test_random_calls(peers: Peers) -> None:
    assert run(peers, STEPS, seed=20240607) >= STEPS


def compare(peers: Peers, method: str, *arguments: object) -> object:
    """Make a call on both sides; its outcome, which is the same."""
    linux, guest = (attempt(task, method, arguments) for task in (peers.linux, peers.guest))
    assert guest == linux
    return linux


@pytest.fixture
def both(peers: Peers) -> Peers:
    peers.renew()
    return peers


# ---- What random calls have found ----


@pytest.mark.parametrize("make", [("eventfd", 0, 0), ("epoll_create1", 0)])
def test_anonymous_files_stay_where_they_are(both: Peers, make: tuple[object, ...]) -> None:
    fd = compare(both, *make)
    assert compare(both, "lseek", fd, -5, os.SEEK_SET) == 0
    assert compare(both, "lseek", fd, 7, os.SEEK_END) == 0
    assert compare(both, "lseek", fd, 0, 9) == ("EINVAL",)


def test_a_bad_whence_counts_more_than_a_pipe(both: Peers) -> None:
    compare(both, "pipe2", 0)
    assert compare(both, "lseek", 3, 0, 9) == ("EINVAL",)
    assert compare(both, "lseek", 3, 0, os.SEEK_SET) == ("ESPIPE",)


def test_offsets_on_the_wrong_end_of_a_pipe(both: Peers) -> None:
    compare(both, "pipe2", 0)
    assert compare(both, "pread", 4, 1, 0) == ("ESPIPE",)
    assert compare(both, "pwrite", 3, b"x", 0) == ("ESPIPE",)
    assert compare(both, "read", 4, 1) == ("EBADF",)


def test_only_the_writing_end_of_a_pipe_has_packets(both: Peers) -> None:
    compare(both, "pipe2", os.O_DIRECT | os.O_NONBLOCK)
    assert compare(both, "fcntl", 3, files.F_GETFL) == os.O_RDONLY | os.O_NONBLOCK
    assert compare(both, "fcntl", 4, files.F_GETFL) == os.O_WRONLY | os.O_DIRECT | os.O_NONBLOCK


def test_direct_transfers_are_not_for_all_files(both: Peers) -> None:
    fd = compare(both, "epoll_create1", 0)
    assert compare(both, "fcntl", fd, files.F_SETFL, os.O_DIRECT) == ("EINVAL",)
    r, _ = compare(both, "pipe2", 0)  # type: ignore[misc]
    assert compare(both, "fcntl", r, files.F_SETFL, os.O_DIRECT) == 0


def test_empty_vectors_never_get_to_a_file(both: Peers) -> None:
    fd = compare(both, "eventfd", 0, os.EFD_NONBLOCK)
    assert compare(both, "writev", fd, []) == 0
    assert compare(both, "readv", fd, [0, 0]) == [b"", b""]
    assert compare(both, "write", fd, b"") == ("EINVAL",)
    compare(both, "pipe2", 0)
    assert compare(both, "writev", fd + 1, [b""]) == ("EBADF",)


def test_a_name_that_is_taken_leaves_the_socket_its_own(both: Peers) -> None:
    for name in ("first", "second"):
        compare(both, "socket", socket.AF_UNIX, socket.SOCK_STREAM)
        compare(both, "bind", 3 if name == "first" else 4, name)
    compare(both, "listen", 3, 1)
    assert compare(both, "bind", 3, "second") == ("EADDRINUSE",)
    compare(both, "socket", socket.AF_UNIX, socket.SOCK_STREAM)
    assert compare(both, "connect", 5, "first") == ()
    for fd in (3, 4, 5):
        compare(both, "close", fd)
    assert compare(both, "listdir", ".") == ["first", "second"]
    assert stat.S_ISSOCK(compare(both, "stat", "second")[0])  # type: ignore[index]


def test_splicing_from_an_ended_pipe_into_a_broken_one(both: Peers) -> None:
    compare(both, "pipe2", os.O_NONBLOCK)
    compare(both, "pipe2", os.O_NONBLOCK)
    assert compare(both, "syscall", "splice", 3, 0, 6, 0, 100, 0) == ("EAGAIN",)
    compare(both, "close", 4)
    assert compare(both, "syscall", "splice", 3, 0, 6, 0, 100, 0) == 0
    compare(both, "close", 5)
    assert compare(both, "syscall", "splice", 3, 0, 6, 0, 100, 0) == ("EPIPE",)


@pytest.mark.parametrize("length", [2, 5])
@pytest.mark.parametrize("flags", [(0, os.O_DIRECT), (os.O_DIRECT, 0), (os.O_DIRECT, os.O_DIRECT)])
def test_what_is_spliced_stays_the_packet_that_it_was(
    both: Peers, flags: tuple[int, int], length: int
) -> None:
    for each in flags:
        compare(both, "pipe2", os.O_NONBLOCK | each)
    compare(both, "write", 4, b"bytes")
    assert compare(both, "syscall", "splice", 3, 0, 6, 0, length, 0) == length
    compare(both, "write", 6, b"more")
    compare(both, "read", 5, 1)
    for fd in (5, 5, 3, 3):
        compare(both, "read", fd, 100)


def test_what_is_spliced_in_part_takes_a_place_of_its_own(both: Peers) -> None:
    for _ in range(2):
        compare(both, "pipe2", os.O_NONBLOCK)
    compare(both, "fcntl", 6, files.F_SETPIPE_SZ, 2 * mmap.PAGESIZE)
    compare(both, "write", 4, b"bytes")
    assert compare(both, "syscall", "splice", 3, 0, 6, 0, 2, 0) == 2
    for _ in range(3):
        compare(both, "write", 6, bytes(mmap.PAGESIZE - 1))


# ---- What random calls leave out ----


def test_timers_as_files(both: Peers) -> None:
    fd = compare(both, "timerfd_create", time.CLOCK_MONOTONIC, os.O_NONBLOCK)
    assert compare(both, "timerfd_gettime", fd) == (0, 0)
    for task in (both.linux, both.guest):
        assert task.timerfd_settime(fd, initial=100, interval=0.5) == (0, 0)
        assert task.timerfd_gettime(fd) == pytest.approx((100, 0.5), rel=0.1)
        assert task.timerfd_settime(fd) == pytest.approx((100, 0.5), rel=0.1)
    assert compare(both, "timerfd_gettime", fd) == (0, 0)
    assert compare(both, "read", fd, 8) == ("EAGAIN",)


def test_signals_as_files(both: Peers) -> None:
    fd = compare(both, "signalfd", -1, [signal.SIGUSR1], os.O_NONBLOCK)
    assert compare(both, "read", fd, 128) == ("EAGAIN",)
    assert compare(both, "signalfd", fd, [signal.SIGUSR2]) == fd
    assert compare(both, "signalfd", 0, [signal.SIGUSR1]) == ("EINVAL",)


def test_modes_of_open_files(both: Peers) -> None:
    fd = compare(both, "open", "file", os.O_RDWR | os.O_CREAT, 0o644)
    compare(both, "fchmod", fd, 0o640)
    assert stat.S_IMODE(compare(both, "fstat", fd)[0]) == 0o640  # type: ignore[index]
    assert compare(both, "get_blocking", fd) is True
    compare(both, "set_blocking", fd, False)
    assert compare(both, "get_blocking", fd) is False


def test_entries_with_their_kinds(both: Peers) -> None:
    compare(both, "mkdir", "directory")
    compare(both, "symlink", "directory", "link")
    for task in (both.linux, both.guest):
        fd = task.open(".", os.O_RDONLY | os.O_DIRECTORY)
        kinds = {name: kind for _, kind, name in task.getdents(fd)}
        # DT_DIR and DT_LNK
        assert kinds == {".": 4, "..": 4, "directory": 4, "link": 10}
        assert task.getdents(fd) == []


def test_memory_that_is_not_needed(peers: Peers) -> None:
    guest = peers.guest
    protection, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address = guest.mmap(0, mmap.PAGESIZE, protection, flags)
    guest.write_memory(address, b"content")
    guest.madvise(address, mmap.PAGESIZE, mmap.MADV_DONTNEED)
    assert guest.read_memory(address, 7) == bytes(7)
    guest.munmap(address, mmap.PAGESIZE)


def test_who_and_when(both: Peers) -> None:
    for task in (both.linux, both.guest):
        assert task.gettid() > 0
        before = task.clock_gettime_ns(time.CLOCK_MONOTONIC)
        assert before < task.clock_gettime_ns(time.CLOCK_MONOTONIC) < before + 60 * 10**9
        assert len(task.getrandom(1000)) == 1000
        assert task.getrandom(16) != task.getrandom(16)


# ---- The peers themselves ----


def test_linux_is_this_hosts(both: Peers) -> None:
    assert both.linux.uname().release == os.uname().release
    assert both.linux.pipe() == (3, 4)
    assert both.linux.write(4, b"abc") == 3
    assert both.linux.poll([(3, select.POLLIN)], 0) == [(3, select.POLLIN)]


def test_a_difference_is_noticed(both: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "getpid", lambda task: 1 if task is both.guest else 2)
    with pytest.raises(AssertionError):
        compare(both, "getpid")
