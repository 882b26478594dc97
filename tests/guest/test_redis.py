"""Debian's redis-server as the program, and clients that are tasks of the host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from socket import AF_UNIX, SOCK_STREAM

import pytest

from scripts.debian import DebianError
from scripts.root_file_system import make_initrd, root_file_system
from tests.soundness import need_sound_kvm
from vmm import GuestStopped, Machine
from vmm.service.guest import Guest, Task

SOCKET = "/tmp/redis.sock"
OPTIONS = (
    *("--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly", "no"),
    # On arm64 it looks for a bug in copies that fork makes, and ends where it cannot.
    *("--ignore-warnings", "ARM64-COW-BUG"),
)
PATIENCE = 60


class Client:
    """A connection, in words of the protocol RESP."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._fd = task.socket(AF_UNIX, SOCK_STREAM)
        task.connect(self._fd, SOCKET)

    def send(self, *words: bytes) -> None:
        parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self.task.send(self._fd, b"*%d\r\n" % len(words) + b"".join(parts))

    def receive(self) -> bytes:
        return self.task.recv(self._fd, 65536)

    def ask(self, *words: bytes) -> bytes:
        self.send(*words)
        return self.receive()


@pytest.fixture
def guest(arch: str, backend: str) -> Iterator[Guest]:
    if backend == "kvm":
        need_sound_kvm()
    try:
        initrd, root = make_initrd(["redis-server"], arch), root_file_system(["redis-server"], arch)
    except DebianError as error:
        pytest.skip(str(error))
    program = root / "usr/bin/redis-server"
    with Machine(
        *(program, OPTIONS), arch=arch, backend=backend, memory="256M", initrd=initrd, services=True
    ) as machine:
        machine.guest.timeout = PATIENCE
        wait_for(machine.guest, SOCKET)
        yield machine.guest


def wait_for(guest: Guest, path: str) -> None:
    for _ in range(PATIENCE * 20):
        if guest.access(path, os.F_OK):
            return
        guest.sleep(0.05)
    pytest.fail(f"{path} has not come into being")


def test_clients_of_redis(guest: Guest) -> None:
    client = Client(guest)
    assert client.ask(b"PING") == b"+PONG\r\n"
    for number in range(50):
        assert client.ask(b"SET", b"key%d" % number, b"x" * number) == b"+OK\r\n"
    assert client.ask(b"DBSIZE") == b":50\r\n"
    assert client.ask(b"GET", b"key7") == b"$7\r\nxxxxxxx\r\n"
    large = bytes(range(32, 127)) * 300
    assert client.ask(b"SET", b"large", large) == b"+OK\r\n"
    assert client.ask(b"STRLEN", b"large") == b":%d\r\n" % len(large)

    # One task waits for what another one brings.
    with guest.task() as task:
        other = Client(task)
        other.send(b"BLPOP", b"list", b"0")
        waiting = task.begin(other.receive)
        assert client.ask(b"RPUSH", b"list", b"element") == b":1\r\n"
        assert waiting.result() == b"*2\r\n$4\r\nlist\r\n$7\r\nelement\r\n"

    client.send(b"SHUTDOWN", b"NOSAVE")
    with pytest.raises(GuestStopped, match="exited with status 0"):
        guest.sleep(PATIENCE)
