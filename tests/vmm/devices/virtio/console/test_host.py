"""The host's ends of ports: UNIX sockets with programs that come and go, files, descriptors."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vmm.devices.virtio.console.control import EVENT_PORT_NAME, EVENT_PORT_OPEN
from vmm.devices.virtio.console.host import FileEnd, SocketEnd, open_descriptor
from vmm.devices.virtio.console.port import INPUT_ROOM, Port
from vmm.errors import UsageError
from vmm.machine.events import EventLoop

DEADLINE = 10

# Held while the devices of a machine are called; what a guest does to them is such a call.
LOCK = threading.RLock()


@pytest.fixture
def events() -> Iterator[EventLoop]:
    loop = EventLoop(LOCK)
    yield loop
    loop.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def connect(path: Path) -> socket.socket:
    program = socket.socket(socket.AF_UNIX)
    program.settimeout(DEADLINE)
    program.connect(str(path))
    return program


class Guest:
    """A port at a socket, whose guest has it open and learns of everything."""

    def __init__(self, path: Path, events: EventLoop) -> None:
        self.end = SocketEnd(str(path), events)
        self.port = Port(self.end, "name")
        self.end.attach(self.port)
        self.port.set_ready(True)
        self.told: list[int] = []
        self.port.on_change = self.listen
        with LOCK:
            self.listen()
            self.port.set_open(True)
            self.end.on_told()

    def listen(self) -> None:
        while (event := self.port.owed()) is not None:
            value, rest = self.port.tell(event)
            if event == EVENT_PORT_OPEN:
                self.told.append(value)
            else:
                assert (event, rest) == (EVENT_PORT_NAME, b"name")

    def read(self) -> bytes:
        """Read as a guest with enough buffers does."""
        with LOCK:
            data = bytes(self.port._input)
            self.port._input.clear()
            self.port.on_change()
            self.end.on_room()
        return data


def test_programs_come_and_go(tmp_path: Path, events: EventLoop) -> None:
    path = tmp_path / "port"
    guest = Guest(path, events)
    assert guest.end.send(b"to nobody") == 9
    for word in (b"one", b"two"):
        with connect(path) as program:
            wait_for(lambda: guest.end.connected)
            program.sendall(word)
            wait_for(lambda: bool(guest.port._input))
            assert guest.read() == word
            assert guest.end.send(b"hello " + word) == 9
            assert program.recv(100) == b"hello " + word
        wait_for(lambda: not guest.end.connected)
    assert guest.told == [1, 0, 1, 0]
    guest.end.close()
    assert not path.exists()


def test_the_next_program_waits_until_the_guest_has_read(tmp_path: Path, events: EventLoop) -> None:
    path = tmp_path / "port"
    guest = Guest(path, events)
    with connect(path) as program:
        program.sendall(b"x" * (INPUT_ROOM + 10))
        wait_for(lambda: guest.port.room() == 0)
    with connect(path) as program:
        program.sendall(b"second")
        wait_for(lambda: guest.port.room() == 0)
        time.sleep(0.05)
        assert guest.read() == b"x" * INPUT_ROOM
        wait_for(lambda: guest.port.room() == INPUT_ROOM - 10)
        wait_for(lambda: not guest.end.connected)
        assert guest.told == [1]
        assert guest.read() == b"x" * 10
        wait_for(lambda: bool(guest.port._input))
        assert guest.read() == b"second"
    assert guest.told[:3] == [1, 0, 1]
    guest.end.close()


def test_a_program_that_does_not_read_holds_output_up(tmp_path: Path, events: EventLoop) -> None:
    path = tmp_path / "port"
    guest = Guest(path, events)
    resumed = threading.Event()
    guest.port.on_output = resumed.set
    with connect(path) as program:
        wait_for(lambda: guest.end.connected)
        done = guest.end.send(bytes(1 << 22))
        assert 0 < done < 1 << 22
        assert guest.end.send(b"more") == 0
        assert not resumed.wait(0.05)
        left = done
        while left:
            left -= len(program.recv(left))
        assert resumed.wait(DEADLINE)
        assert guest.end.send(b"more") == 4
    guest.end.close()
    assert not guest.end.connected
    assert guest.end.send(b"x") == 1


def test_a_place_that_is_taken(tmp_path: Path, events: EventLoop) -> None:
    path = tmp_path / "port"
    path.touch()
    with pytest.raises(UsageError, match="which is no socket"):
        SocketEnd(str(path), events)
    assert path.exists()


def test_files_get_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    end = FileEnd(str(path))
    assert end.send(b"after\n") == 6
    end.close()
    assert path.read_bytes() == b"before\nafter\n"
    with pytest.raises(UsageError, match="No such file"):
        FileEnd(str(tmp_path / "missing/log"))
    full = FileEnd("/dev/full")
    assert full.send(b"lost") == 4
    full.close()


def test_descriptors(events: EventLoop) -> None:
    ours, theirs = socket.socketpair()
    end = open_descriptor(theirs.fileno(), events)
    port = Port(end, "name")
    end.attach(port)
    port.set_open(True)
    assert end.send(b"out") == 3
    assert ours.recv(10) == b"out"
    ours.sendall(b"in")
    wait_for(lambda: bytes(port._input) == b"in")
    ours.close()
    wait_for(lambda: not end.connected)
    assert end.send(b"lost") == 4
    theirs.close()


def test_descriptors_that_cannot_be(tmp_path: Path, events: EventLoop) -> None:
    with pytest.raises(UsageError, match="Bad file descriptor"):
        open_descriptor(10_000, events)
    with (tmp_path / "file").open("w") as file, pytest.raises(UsageError, match="write file:PATH"):
        open_descriptor(file.fileno(), events)
