"""The network behind passt: its stream of frames by a stand-in, and the program itself."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import pack

import pytest

from tests.passt import need_passt
from vmm.devices.virtio import passt
from vmm.devices.virtio.net import HEADER_SIZE, MAX_FRAME
from vmm.devices.virtio.passt import Passt
from vmm.errors import UsageError
from vmm.machine.events import EventLoop

HEADER = bytes(HEADER_SIZE)
# Of what takes no time, but for starting a Python on a host that may be busy; in seconds.
DEADLINE = 60

# Sends each frame back, two writes each so that frames arrive in parts; then ends when told to.
ECHO = """#!{python}
import socket, struct, sys
line = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
received = b""
while data := line.recv(1 << 16):
    received += data
    while len(received) >= 4:
        end = 4 + struct.unpack(">I", received[:4])[0]
        if len(received) < end:
            break
        frame, received = received[:end], received[end:]
        if frame[4:] == b"end":
            sys.exit()
        if frame[4:] == b"lie":
            frame = struct.pack(">I", 1 << 30) + frame
        line.sendall(frame[:3])
        line.sendall(frame[3:])
"""


# Takes nothing before there is a file "go" beside it.
HELD_ECHO = ECHO.replace(
    "while data",
    """import os, time
while not os.path.exists(os.path.join(os.path.dirname(sys.argv[0]), "go")):
    time.sleep(.01)
while data""",
)


class Network:
    """Collects what arrives."""

    def __init__(self, options: tuple[str, ...] = ()) -> None:
        self.lock = threading.RLock()
        self.events = EventLoop(self.lock)
        self.frames: list[bytes] = []
        self.calls = 0
        self.link = Passt(self.events, options)
        self.link.on_frame = self.receive
        with self.lock:
            self.link.wait()

    def receive(self) -> None:
        self.calls += 1
        while self.receive_one():
            pass
        self.link.wait()

    def receive_one(self) -> bool:
        room = bytearray(MAX_FRAME)
        length = self.link.receive([memoryview(room)])
        if length:
            self.frames.append(bytes(room[:length]))
        return length > 0

    def send(self, content: bytes) -> None:
        with self.lock:
            self.link.send([memoryview(HEADER + content[:5]), memoryview(content[5:])])

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def close(self) -> None:
        self.events.close()
        self.link.close()
        self.link.close()


def install(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = directory / "passt"
    program.write_text(script.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    install(tmp_path, monkeypatch, ECHO)
    network = Network()
    yield network
    network.close()


def test_frames_keep_their_bounds(echo: Network) -> None:
    sent = [bytes([n]) * length for n, length in enumerate((60, 1514, MAX_FRAME - HEADER_SIZE))]
    for number, frame in enumerate(sent):
        echo.send(frame)
        echo.wait_for(lambda number=number: len(echo.frames) > number)  # type: ignore[misc]
    assert echo.frames == [HEADER + frame for frame in sent]


def test_what_passt_does_not_take_is_lost_in_whole_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, HELD_ECHO)
    network = Network()
    for number in range(200):
        network.send(number.to_bytes(2, "big") * 5000)
    (tmp_path / "go").touch()
    network.wait_for(lambda: bool(network.frames))
    network.send(b"last frame")
    network.wait_for(lambda: network.frames[-1] == HEADER + b"last frame")
    network.close()
    numbers = [int.from_bytes(frame[HEADER_SIZE:][:2], "big") for frame in network.frames[:-1]]
    assert numbers == sorted(numbers)
    assert len(numbers) < 200
    assert all(len(frame) == HEADER_SIZE + 10000 for frame in network.frames[:-1])


def test_frames_that_came_together_are_all_received(echo: Network) -> None:
    """Also where the device takes some only, and asks to be called for the rest."""

    def receive_one() -> None:
        echo.receive_one()
        echo.link.wait()

    echo.link.on_frame = receive_one
    for number in range(100):
        echo.send(b"frame %d" % number)
    echo.wait_for(lambda: len(echo.frames) == 100)
    assert echo.frames[-1] == HEADER + b"frame 99"


@pytest.mark.parametrize("last", [b"end", b"lie"])
def test_the_end_of_passt_is_the_end_of_the_network_only(echo: Network, last: bytes) -> None:
    echo.send(last)
    echo.wait_for(lambda: echo.link._gone)
    calls = echo.calls
    echo.send(b"more")
    time.sleep(0.05)
    assert echo.calls <= calls + 1
    assert echo.frames == []


def test_without_the_program_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="install the package passt, or use tap="):
        Network()


def test_a_program_that_ends_at_once_has_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "#!/bin/sh\necho no such port >&2\nexit 1\n")
    monkeypatch.setattr(passt, "_START", DEADLINE)  # it is over as soon as the program ends
    with pytest.raises(UsageError, match="passt ended: no such port"):
        Network()


def test_passt_answers_for_the_gateway() -> None:
    need_passt()
    mac, ours, gateway = b"\x02\0\0\xc0\xff\xee", bytes([10, 0, 2, 15]), bytes([10, 0, 2, 2])
    request = pack(">HHBBH", 1, 0x800, 6, 4, 1) + mac + ours + bytes(6) + gateway
    network = Network(("--address", "10.0.2.15", "--gateway", "10.0.2.2"))
    network.send((b"\xff" * 6 + mac + b"\x08\x06" + request).ljust(60, b"\0"))
    network.wait_for(lambda: bool(network.frames))
    network.close()
    reply = network.frames[0][HEADER_SIZE:]
    assert reply[:6] == mac
    assert reply[28:32] == gateway
    assert network.link._process.poll() is not None
