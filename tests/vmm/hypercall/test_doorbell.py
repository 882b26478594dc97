"""The doorbell and its services, driven as a guest drives them: through request blocks in RAM."""

from __future__ import annotations

import errno
import os
import pty
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.console import Console
from vmm.hypercall import abi
from vmm.hypercall.doorbell import Doorbell
from vmm.hypercall.services import Services
from vmm.machine.clock import MachineClock
from vmm.memory import Gpa, GuestMemory

RAM = 1 << 20
REQUEST = 0x1000
BUFFER = 0x2000
MASK = (1 << 64) - 1


class Host:
    """Records what the services ask of the machine."""

    def __init__(self) -> None:
        self.stopped: tuple[int, int, str] | None = None
        self.idle: list[int | None] = []

    def stop(self, status: int, reason: int, message: str) -> None:
        self.stopped = (status, reason, message)

    def idle_until(self, deadline: int | None) -> None:
        self.idle.append(deadline)

    def completed(self) -> None:
        pass


class Guest:
    """The guest's side of the doorbell."""

    def __init__(self) -> None:
        self.memory = GuestMemory([(Gpa(0), RAM)])
        self.console = Console()
        self.host = Host()
        self.clock = MachineClock(threading.RLock())
        self.services = Services(self.memory, self.console, self.clock, self.host)
        self.doorbell = Doorbell(self.memory, self.services.table)

    def call(self, service: int, *arguments: int, flags: int = 0) -> tuple[int, list[int]]:
        words = [argument & MASK for argument in arguments]
        words += [0] * (6 - len(words))
        self.memory.write(REQUEST, struct.pack("<IIq6Q", service, flags, 1 << 40, *words))
        self.doorbell.write(0, 4, REQUEST // 64)
        _, _, result, *answers = struct.unpack("<IIq6Q", self.memory.read(REQUEST, 64))
        return result, answers


@pytest.fixture
def guest() -> Iterator[Guest]:
    guest = Guest()
    yield guest
    guest.memory.close()


def test_console_write_reaches_the_stream(guest: Guest) -> None:
    guest.memory.write(BUFFER, b"hello")
    assert guest.call(abi.CONSOLE_WRITE, BUFFER, 5, abi.STREAM_OUTPUT)[0] == 5
    assert guest.call(abi.CONSOLE_WRITE, BUFFER, 5, abi.STREAM_LOG)[0] == 5
    assert guest.console.output == b"hello"
    assert guest.console.log == b"hello"
    assert guest.call(abi.CONSOLE_WRITE, BUFFER, 5, 9)[0] == -errno.EINVAL


def test_console_read_gives_bytes_none_yet_and_the_end(guest: Guest) -> None:
    assert guest.call(abi.CONSOLE_READ, BUFFER, 16)[0] == -errno.EAGAIN
    guest.console.send(b"typed")
    assert guest.call(abi.CONSOLE_READ, BUFFER, 16)[0] == 5
    assert guest.memory.read(BUFFER, 5) == b"typed"
    guest.console.close_input()
    assert guest.call(abi.CONSOLE_READ, BUFFER, 16)[0] == 0


def test_input_is_not_lost_to_a_bad_buffer(guest: Guest) -> None:
    guest.console.send(b"typed")
    assert guest.call(abi.CONSOLE_READ, RAM - 1, 16)[0] == -errno.EFAULT
    assert guest.call(abi.CONSOLE_READ, BUFFER, 16)[0] == 5


def test_exit_gives_status_reason_and_message(guest: Guest) -> None:
    guest.memory.write(BUFFER, b"out of cheese")
    assert guest.call(abi.EXIT, 0x107, abi.EXIT_PANIC, BUFFER, 13)[0] == 0
    assert guest.host.stopped == (7, abi.EXIT_PANIC, "out of cheese")


def test_clock_gives_guest_time_and_wall_clock(guest: Guest) -> None:
    first, _ = guest.call(abi.CLOCK)
    second, answers = guest.call(abi.CLOCK)
    assert 0 <= first <= second
    assert answers[0] > 1_700_000_000 * 10**9


def test_entropy_fills_the_buffer(guest: Guest) -> None:
    assert guest.call(abi.ENTROPY, BUFFER, 64)[0] == 64
    first = guest.memory.read(BUFFER, 64)
    assert guest.call(abi.ENTROPY, BUFFER, 64)[0] == 64
    assert first != guest.memory.read(BUFFER, 64)


def test_idle_passes_the_deadline_on(guest: Guest) -> None:
    guest.call(abi.IDLE, 12345)
    guest.call(abi.IDLE, MASK)
    assert guest.host.idle == [12345, None]


def test_write_to_a_closed_pipe_is_epipe(guest: Guest) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    guest.console.attach_output(writer, writer)
    guest.memory.write(BUFFER, b"x")
    assert guest.call(abi.CONSOLE_WRITE, BUFFER, 1, abi.STREAM_OUTPUT)[0] == -errno.EPIPE
    os.close(writer)


def test_unknown_service_and_flags(guest: Guest) -> None:
    assert guest.call(999)[0] == -errno.ENOSYS
    assert guest.call(abi.CLOCK, flags=1)[0] == -errno.EINVAL


@given(
    service=st.integers(0, 12),
    arguments=st.lists(
        st.one_of(st.integers(0, RAM + 16), st.integers(0, MASK)), min_size=6, max_size=6
    ),
)
def test_no_request_raises_or_escapes_ram(service: int, arguments: list[int]) -> None:
    guest = Guest()
    result, _ = guest.call(service, *arguments)
    assert result != 1 << 40, "the request was not answered"
    guest.memory.close()


@given(value=st.integers(0, 0xFFFF_FFFF), offset=st.integers(0, 3), size=st.sampled_from([1, 2, 4]))
def test_any_doorbell_write_is_harmless(value: int, offset: int, size: int) -> None:
    guest = Guest()
    guest.doorbell.write(offset, size, value & ((1 << 8 * size) - 1))
    assert guest.doorbell.read(offset, size) == 0
    guest.memory.close()


@pytest.mark.parametrize("output_is_terminal", [False, True])
def test_what_bootinfo_says_of_terminals_is_what_the_service_says(
    guest: Guest, output_is_terminal: bool
) -> None:
    master, terminal = pty.openpty()
    reader, writer = os.pipe()
    try:
        guest.console.attach_output(terminal if output_is_terminal else writer, writer)
        guest.memory.write_u64(BUFFER + abi.BOOTINFO_FEATURES_OFFSET, abi.FEATURE_IDLE)
        guest.services.describe_console(BUFFER)
        features = guest.memory.read_u64(BUFFER + abi.BOOTINFO_FEATURES_OFFSET)
        said = abi.FEATURE_NO_TERMINAL if guest.call(abi.CONSOLE_STATUS)[0] == 0 else 0
        assert features == abi.FEATURE_IDLE | said
        assert bool(said) is not output_is_terminal
    finally:
        for fd in (master, terminal, reader, writer):
            os.close(fd)
