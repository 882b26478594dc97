"""Linux as the oracle: a child process that makes calls in a directory of its own.

The child is chrooted into a fresh directory of a tmpfs, with descriptors 0 to 2 open and all others
free, as a program in the guest finds them. It needs the right to chroot.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import platform
import shutil
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Where the child keeps its two pipes, out of the way of the numbers that are compared.
FIRST_PIPE = 900

FIONREAD = 0x541B
SPLICE_F_NONBLOCK = 2

# struct epoll_event, with the descriptor as data: packed on x86_64 alone.
EPOLL_EVENT = "<IQ" if platform.machine() == "x86_64" else "<I4xQ"

Call = tuple[Any, ...]
Result = Any

_libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """Turn the result of a libc call into OSError where it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class Linux:
    """This system's calls, under the names that `tests.guest.systemlib.System` uses."""

    def __init__(self) -> None:
        for name in (
            *("open", "close", "read", "write", "pread", "pwrite", "lseek", "ftruncate"),
            *("truncate", "dup", "mkdir", "rmdir", "unlink", "symlink", "readlink", "chmod"),
            *("chown", "chdir", "getcwd", "umask", "pipe2"),
        ):
            setattr(self, name, getattr(os, name))

    def become(self, user: int, group: int, groups: list[int]) -> None:
        _be_superuser()
        os.setgroups(groups)
        os.setresgid(group, group, 0)
        os.setresuid(user, user, 0)

    def setfsuid(self, user: int) -> int:
        return int(_libc.setfsuid(user))

    def dup2(self, fd: int, to: int) -> int:
        return checked(_libc.dup2(fd, to))

    def link(self, old: str, new: str) -> None:
        os.link(old, new, follow_symlinks=False)

    def sendfile(self, out: int, source: int, count: int) -> int:
        return os.sendfile(out, source, None, count)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        at_fdcwd = -100
        checked(_libc.renameat2(at_fdcwd, os.fsencode(old), at_fdcwd, os.fsencode(new), flags))

    def access(self, path: str, mode: int) -> None:
        checked(_libc.access(os.fsencode(path), mode))

    def fallocate(self, fd: int, mode: int, offset: int, length: int) -> None:
        checked(_libc.fallocate64(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))

    def fcntl(self, fd: int, command: int, argument: int) -> int:
        return checked(_libc.fcntl(fd, command, ctypes.c_long(argument)))

    def available(self, fd: int) -> int:
        count = ctypes.c_int()
        checked(_libc.ioctl(fd, FIONREAD, ctypes.byref(count)))
        return count.value

    def flock(self, fd: int, operation: int) -> None:
        checked(_libc.flock(fd, operation))

    def splice(self, source: int, out: int, count: int) -> int:
        return checked(_libc.splice(source, None, out, None, count, SPLICE_F_NONBLOCK))

    def tee(self, source: int, out: int, count: int) -> int:
        return checked(_libc.tee(source, out, count, SPLICE_F_NONBLOCK))

    def memfd_create(self, name: str, flags: int) -> int:
        return checked(_libc.memfd_create(os.fsencode(name), flags))

    def eventfd(self, count: int, flags: int) -> int:
        return checked(_libc.eventfd(count, flags))

    def poll(self, fd: int, events: int) -> int:
        entry = (ctypes.c_char * 8).from_buffer(bytearray(struct.pack("<ihh", fd, events, 0)))
        checked(_libc.poll(entry, 1, 0))
        return int(struct.unpack("<ihH", bytes(entry))[2])

    def epoll_create1(self, flags: int) -> int:
        return checked(_libc.epoll_create1(flags))

    def epoll_ctl(self, epoll: int, operation: int, fd: int, events: int) -> None:
        event = struct.pack(EPOLL_EVENT, events, fd)
        checked(_libc.epoll_ctl(epoll, operation, fd, event))

    def epoll_wait(self, epoll: int, count: int) -> list[tuple[int, int]]:
        size = struct.calcsize(EPOLL_EVENT)
        events = ctypes.create_string_buffer(size * max(count, 1))
        found = checked(_libc.epoll_wait(epoll, events, count, 0))
        pairs = struct.iter_unpack(EPOLL_EVENT, events.raw[: found * size])
        return [(fd, happened) for happened, fd in pairs]

    def listdir(self, path: str) -> list[str]:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return [".", "..", *os.listdir(fd)]
        finally:
            os.close(fd)

    def stat(self, path: str) -> tuple[int, ...]:
        return _stat(os.stat(path))

    def lstat(self, path: str) -> tuple[int, ...]:
        return _stat(os.lstat(path))

    def fstat(self, fd: int) -> tuple[int, ...]:
        return _stat(os.fstat(fd))


def _stat(stat: os.stat_result) -> tuple[int, ...]:
    return (
        *(stat.st_mode, stat.st_nlink, stat.st_uid, stat.st_gid, stat.st_size, stat.st_blocks),
        stat.st_rdev,
    )


def perform(target: Any, call: Call) -> Result:
    """Make one call: its result, or ("error", errno)."""
    name, *arguments = call
    try:
        return getattr(target, name)(*arguments)
    except OSError as error:
        return ("error", error.errno)


def run_calls(target: Any, calls: Sequence[Call]) -> list[Result]:
    """Make calls one after the other."""
    return [perform(target, call) for call in calls]


class Oracle:
    """The child process, as seen from the test."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests = requests
        self._replies = replies

    def run(self, calls: Sequence[Call]) -> list[Result]:
        """Make calls in an empty directory, with nothing but descriptors 0 to 2 open."""
        _send(self._requests, list(calls))
        reply: list[Result] | str = _receive(self._replies)
        if isinstance(reply, str):
            raise AssertionError(reply)
        return reply


def _send(fd: int, value: Any) -> None:
    data = pickle.dumps(value)
    data = struct.pack("<Q", len(data)) + data
    while data:
        data = data[os.write(fd, data) :]


def _receive(fd: int) -> Any:
    def exactly(length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = os.read(fd, length - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    (length,) = struct.unpack("<Q", exactly(8))
    return pickle.loads(exactly(length))


def _be_superuser() -> None:
    os.setresuid(0, 0, 0)
    # What setfsuid took away, setresuid does not give back.
    _libc.setfsuid(1)
    _libc.setfsuid(0)


def _tidy() -> None:
    _be_superuser()
    os.setresgid(0, 0, 0)
    os.setgroups([])
    os.closerange(3, FIRST_PIPE)
    os.chdir("/")
    os.umask(0o022)
    for entry in os.scandir("/"):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    # What every guest has.
    os.chown("/", 0, 0)
    os.chmod("/", 0o755)
    os.mkdir("dev")
    os.mkdir("proc")


def _serve(directory: str, requests: int, replies: int) -> None:
    os.dup2(requests, FIRST_PIPE)
    os.dup2(replies, FIRST_PIPE + 1)
    os.chroot(directory)
    linux = Linux()
    while True:
        _tidy()
        try:
            calls = _receive(FIRST_PIPE)
        except EOFError:
            return
        try:
            reply: Any = run_calls(linux, calls)
        except Exception:
            reply = traceback.format_exc()
        _send(FIRST_PIPE + 1, reply)


def _child(serve: Callable[[], None]) -> None:
    try:
        serve()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)


@contextmanager
def oracle() -> Iterator[Oracle]:
    """Start the child; it ends with the context."""
    shared_memory = "/dev/shm"
    place = shared_memory if os.path.isdir(shared_memory) else None
    with tempfile.TemporaryDirectory(dir=place) as directory:
        requests, to_child = os.pipe()
        from_child, replies = os.pipe()
        child = os.fork()
        if child == 0:
            _child(lambda: _serve(directory, requests, replies))
        os.close(requests)
        os.close(replies)
        try:
            yield Oracle(to_child, from_child)
        finally:
            os.close(to_child)
            os.close(from_child)
            os.waitpid(child, 0)
