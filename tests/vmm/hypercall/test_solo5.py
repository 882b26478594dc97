"""Hypercalls of Solo5 against any structure a guest can think of."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from vmm.console import Console
from vmm.hypercall.solo5 import BLOCK_READ, BLOCK_WRITE, HALT, NET_READ, NET_WRITE, POLL, Hypercalls
from vmm.images.solo5_notes import BlockProperties, NetworkProperties
from vmm.memory import Gpa, GuestMemory

RAM = 0x4000
CAPACITY = 2048


class Host:
    """Notes how the run ends."""

    def __init__(self) -> None:
        self.ends: list[object] = []
        self.slept: list[tuple[int, list[int]]] = []

    def exit(self, status: int) -> None:
        self.ends.append(status)

    def abort(self, status: int, message: str) -> None:
        self.ends.append((status, message))

    def crash(self, message: str) -> None:
        self.ends.append(message)

    def sleep(self, deadline: int, descriptors: Sequence[int]) -> list[int]:
        self.slept.append((deadline, list(descriptors)))
        return list(descriptors)


class Disk:
    """A disk in memory; its second half cannot be read."""

    capacity = CAPACITY
    properties = BlockProperties(CAPACITY, 512)

    def __init__(self) -> None:
        self.content = bytearray(b"d" * CAPACITY)

    def read(self, views: Sequence[memoryview], offset: int) -> None:
        if offset >= CAPACITY // 2:
            raise OSError
        (view,) = views
        view[:] = self.content[offset : offset + len(view)]

    def write(self, views: Sequence[memoryview], offset: int) -> None:
        (view,) = views
        self.content[offset : offset + len(view)] = view


class Network:
    """A network with one frame in it."""

    descriptor = 77
    properties = NetworkProperties(bytes(6), 1500)

    def __init__(self) -> None:
        self.waiting = [b"frame"]
        self.sent: list[bytes] = []

    def receive(self, target: memoryview) -> int:
        frame = self.waiting.pop() if self.waiting else b""
        frame = frame[: len(target)]
        target[: len(frame)] = frame
        return len(frame)

    def send(self, frame: memoryview) -> None:
        self.sent.append(bytes(frame))


class Clock:
    """Stands still."""

    def now(self) -> int:
        return 1000


class Guest:
    """Memory, and hypercalls on it."""

    def __init__(self) -> None:
        self.memory = GuestMemory([(Gpa(0), RAM)])
        self.host = Host()
        clock: object = Clock()
        self.calls = Hypercalls(self.memory, clock, Console(), self.host)  # type: ignore[arg-type]
        self.disk = self.calls.disks[3] = Disk()
        self.network = self.calls.networks[5] = Network()

    def call(self, number: int, content: bytes) -> bytes:
        self.memory.write(0x1000, content)
        self.calls.call(number, 0x1000)
        return self.memory.read(0x1000, len(content))


def test_a_read_that_the_host_fails_is_answered() -> None:
    guest = Guest()
    answer = guest.call(BLOCK_READ, struct.pack("<QQQQi", 3, CAPACITY // 2, 0x2000, 512, -1))
    assert struct.unpack_from("<i", answer, 32) == (3,)
    assert guest.host.ends == []


def test_frames_go_both_ways() -> None:
    guest = Guest()
    received = guest.call(NET_READ, struct.pack("<QQQi", 5, 0x2000, 1514, -1))
    assert struct.unpack("<QQQi", received) == (5, 0x2000, 5, 0)
    assert guest.memory.read(0x2000, 5) == b"frame"
    again = guest.call(NET_READ, struct.pack("<QQQi", 5, 0x2000, 1514, -1))
    assert struct.unpack("<QQQi", again) == (5, 0x2000, 1514, 1)
    assert guest.call(NET_WRITE, struct.pack("<QQQi", 5, 0x2000, 5, -1))[24:] == bytes(4)
    assert guest.network.sent == [b"frame"]
    assert guest.call(NET_WRITE, struct.pack("<QQQi", 3, 0x2000, 5, -1))[24:] == b"\2\0\0\0"


def test_a_poll_names_the_handles_that_are_ready() -> None:
    guest = Guest()
    answer = guest.call(POLL, struct.pack("<QQi", 500, 0, -1))
    assert struct.unpack("<QQi", answer) == (500, 1 << 5, 1)
    assert guest.host.slept == [(1500, [77])]


def test_statuses() -> None:
    guest = Guest()
    for status in (0, 1, 254, 256 + 7):
        guest.call(HALT, struct.pack("<Qi", 0, status))
    guest.call(HALT, struct.pack("<Qi", 0, 255))
    assert guest.host.ends == [0, 1, 254, 7, (255, "")]


NUMBERS = st.sampled_from([0, 1, 3, 5, 8, 511, 512, CAPACITY, RAM - 1, RAM, 1 << 32, (1 << 64) - 1])


@given(st.integers(0, 9), st.lists(NUMBERS, min_size=5, max_size=5), NUMBERS)
def test_no_structure_is_an_exception_of_ours(number: int, words: list[int], gpa: int) -> None:
    guest = Guest()
    for address in (0x1000, gpa & 0xFFF):
        guest.memory.write(address, struct.pack("<5Q", *words))
    for address in (0x1000, gpa & 0xFFF, gpa & 0xFFFF_FFFF):
        guest.calls.call(number, address)
    assert len(guest.disk.content) == CAPACITY


def test_a_disk_is_not_written_past_its_end() -> None:
    guest = Guest()
    for offset, length in ((CAPACITY - 512, 513), ((1 << 64) - 512, 1024), (CAPACITY, 0)):
        fields = struct.pack("<QQQQi", 3, offset, 0x2000, length, -1)
        assert struct.unpack_from("<i", guest.call(BLOCK_WRITE, fields), 32) == (2,)
    assert guest.disk.content == b"d" * CAPACITY
