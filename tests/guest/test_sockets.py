"""What of UNIX sockets cannot be seen beside Linux of any version: counting, and giving back."""

from __future__ import annotations

import errno
import os
import socket
import struct
import termios

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guest.systemlib import ARENA, System, system

KINDS = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM}
NONBLOCK = socket.SOCK_NONBLOCK

# Places in the arena, apart from each other.
PAIR, VECTOR, CONTROL, HEADER, COUNT = (ARENA + slot * 65536 for slot in range(1, 6))
DATA = ARENA + 6 * 65536

# What x86_64's Linux 6.18 says of messages of these sizes (TIOCOUTQ).
CHARGES = {
    "stream": {
        1: 768,
        192: 768,
        193: 1280,
        704: 1280,
        705: 2304,
        1728: 2304,
        1729: 4352,
        3776: 4352,
        3777: 4864,
        5000: 6400,
        8192: 8960,
        16065: 17152,
        36544: 37120,
        36545: 37888,
        40000: 41472,
        65536: 67072,
    },
    "datagram": {
        1: 768,
        193: 1280,
        3776: 4352,
        3777: 8448,
        8192: 16640,
        16064: 16640,
        16065: 20736,
        32768: 37120,
        40000: 41216,
        65536: 69888,
    },
}


def attempt(kernel: System, name: str, *arguments: int) -> int:
    """Make a system call: its result, or the negative errno."""
    try:
        return kernel.call(name, *arguments)
    except OSError as error:
        return -(error.errno or 0)


def socketpair(kernel: System, kind: int) -> tuple[int, int]:
    kernel.call("socketpair", socket.AF_UNIX, kind | NONBLOCK, 0, PAIR)
    first, second = struct.unpack("<ii", kernel.get(PAIR, 8))
    return first, second


def waiting(kernel: System, fd: int) -> int:
    """What a socket's messages count that were not received yet."""
    kernel.call("ioctl", fd, termios.TIOCOUTQ, COUNT)
    return int.from_bytes(kernel.get(COUNT, 4), "little")


def sendmsg(kernel: System, fd: int, data: bytes, control: bytes) -> int:
    address = kernel.put(data, DATA - ARENA)
    kernel.put(struct.pack("<QQ", address, len(data)), VECTOR - ARENA)
    kernel.put(control, CONTROL - ARENA)
    header = struct.pack("<QQQQQQQ", 0, 0, VECTOR, 1, CONTROL, len(control), 0)
    return attempt(kernel, "sendmsg", fd, kernel.put(header, HEADER - ARENA), 0)


def rights(*descriptors: int) -> bytes:
    data = struct.pack(f"<{len(descriptors)}i", *descriptors)
    return struct.pack("<Qii", 16 + len(data), socket.SOL_SOCKET, socket.SCM_RIGHTS) + data


@pytest.mark.parametrize("kind", KINDS)
def test_messages_count_as_on_linux(kind: str) -> None:
    with system() as kernel:
        first, second = socketpair(kernel, KINDS[kind])
        counted = {}
        for size in CHARGES[kind]:
            assert kernel.call("write", first, DATA, size) == size
            counted[size] = waiting(kernel, first)
            while waiting(kernel, first):
                kernel.call("read", second, DATA, 1 << 17)
        assert counted == CHARGES[kind]


def test_what_was_sent_is_bounded_by_the_send_buffer() -> None:
    with system() as kernel:
        first, _ = socketpair(kernel, socket.SOCK_STREAM)
        used = kernel.lib.frame_statistics().used
        while attempt(kernel, "write", first, DATA, 1) == 1:
            pass
        assert 212992 <= waiting(kernel, first) < 212992 + 1024
        assert (kernel.lib.frame_statistics().used - used) * 4096 <= 212992


def hold_each_other(kernel: System, depth: int) -> None:
    """Make sockets that hold one another in a circle, and close them."""
    pairs = [socketpair(kernel, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) * depth]
    for (sender, _), (passed, other) in zip(pairs, [*pairs[1:], pairs[0]], strict=True):
        sendmsg(kernel, sender, b"x", rights(passed, other))
    for fd in (fd for pair in pairs for fd in pair):
        kernel.close(fd)


def test_sockets_that_hold_each_other_are_freed() -> None:
    with system() as kernel:
        used = []
        for round_ in range(400):
            hold_each_other(kernel, 1 + round_ % 4)
            used.append(kernel.lib.frame_statistics().used)
        assert max(used[200:]) <= max(used[:200])


def test_a_name_that_is_taken_is_not_held() -> None:
    with system() as kernel:
        kernel.mkdir("/taken")
        kernel.put(struct.pack("<H", socket.AF_UNIX) + b"/taken\0", 8192)
        for _ in range(10):
            fd = kernel.call("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0)
            assert attempt(kernel, "bind", fd, ARENA + 8192, 9) == -errno.EADDRINUSE
            kernel.close(fd)
        kernel.close(kernel.open("/taken/file", os.O_CREAT))
        assert kernel.listdir("/taken") == [".", "..", "file"]


def test_without_memory_nothing_is_lost() -> None:
    with system(memory=200) as kernel:
        first, second = socketpair(kernel, socket.SOCK_STREAM)
        kernel.call("setsockopt", first, socket.SOL_SOCKET, 32, kernel.put(b"\0\0\0\2"), 4)
        sent = 0
        while (count := attempt(kernel, "write", first, DATA, 8000)) > 0:
            sent += count
        assert count == -errno.ENOBUFS
        received = 0
        while received < sent:
            received += kernel.call("read", second, DATA, 65536)
        assert kernel.call("write", first, DATA, 8000) == 8000


WORDS = st.one_of(st.integers(0, 40), st.sampled_from([1 << 31, (1 << 32) - 1, 1 << 62]))
MESSAGES = st.tuples(
    st.integers(0, 40), st.sampled_from([0, 1, 1, 1, 6]), st.integers(0, 3), st.lists(WORDS)
).map(lambda m: struct.pack(f"<QII{len(m[3])}I", *m[:3], *(w & 0xFFFF_FFFF for w in m[3])))


@settings(max_examples=150)
@given(st.lists(MESSAGES, max_size=4).map(b"".join), st.integers(0, 60), st.integers(0, 1))
def test_any_control_data(control: bytes, room: int, kind: int) -> None:
    with system() as kernel:
        sender, receiver = socketpair(kernel, [socket.SOCK_STREAM, socket.SOCK_DGRAM][kind])
        kernel.put(b"\1\0\0\0")
        kernel.call("setsockopt", receiver, socket.SOL_SOCKET, socket.SO_PASSCRED, ARENA, 4)
        count = sendmsg(kernel, sender, b"data", control)
        assert count in (4, -errno.EINVAL, -errno.EBADF, -errno.ESRCH)
        if count < 0:
            return
        guard = os.urandom(64)
        kernel.put(guard, CONTROL - ARENA + room)
        header = struct.pack("<QQQQQQQ", 0, 0, VECTOR, 1, CONTROL, room, 0)
        assert kernel.call("recvmsg", receiver, kernel.put(header, HEADER - ARENA), 0) == 4
        used = int.from_bytes(kernel.get(HEADER + 40, 8), "little")
        assert used <= room
        assert kernel.get(CONTROL + room, 64) == guard
