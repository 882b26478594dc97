"""Debian's programs that live on UNIX sockets; calls from the host are the other end of some."""

from __future__ import annotations

import os
import socket
import time

import pytest

from scripts.debian import DebianError
from scripts.root_file_system import make_initrd, root_file_system
from tests.soundness import need_sound_kvm
from vmm import GuestStopped, Machine
from vmm.service.guest import Task

PATIENCE = 60.0

# Tasks and threads send 1 000 messages to one server, which sends them back in capitals.
ASYNCIO = """
import asyncio, os, socket, threading

async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()

async def talk(number):
    reader, writer = await asyncio.open_unix_connection("/tmp/echo")
    for i in range(50):
        writer.write(f"task {number} message {i}\\n".encode())
        assert await reader.readline() == f"TASK {number} MESSAGE {i}\\n".encode()
    writer.close()
    await writer.wait_closed()

answered = []

def talk_in_thread(number):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("/tmp/echo")
        stream = client.makefile("rwb")
        for i in range(50):
            stream.write(b"thread %d %d\\n" % (number, i))
            stream.flush()
            assert stream.readline() == b"THREAD %d %d\\n" % (number, i)
    answered.append(number)

async def main():
    server = await asyncio.start_unix_server(serve, "/tmp/echo")
    threads = [threading.Thread(target=talk_in_thread, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    await asyncio.gather(*map(talk, range(10)))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    server.close()
    await server.wait_closed()
    print("answered", sorted(answered))

asyncio.run(main())
"""

# What finds out about networks says that there is none, and goes on.
NO_NETWORK = """
import socket
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET):
    try:
        socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        print(error.strerror)
for ask in (socket.if_nameindex, lambda: socket.getaddrinfo("localhost", 80)):
    try:
        print("found", len(ask()) > 0)
    except OSError as error:
        print(type(error).__name__)
print(socket.has_dualstack_ipv6(), socket.gethostname() != "")
"""


class Program:
    """A program of a Debian package with the package's files as root."""

    def __init__(self, package: str, path: str, arch: str, backend: str) -> None:
        if backend == "kvm":
            need_sound_kvm()
        try:
            self.binary = root_file_system([package], arch) / path
            self.initrd = make_initrd([package], arch)
        except DebianError as error:
            pytest.skip(str(error))
        self.arch = arch
        self.backend = backend

    def machine(self, *words: str, services: bool = False) -> Machine:
        return Machine(
            self.binary,
            words,
            arch=self.arch,
            backend=self.backend,
            initrd=self.initrd,
            memory="256M",
            services=services,
        )


def python(arch: str, backend: str, script: str) -> str:
    program = Program("python3", "usr/bin/python3.11", arch, backend)
    with program.machine("-I", "-c", script) as machine:
        machine.run(timeout=PATIENCE)
        return machine.console.output.decode()


def test_asyncio_sends_a_thousand_messages(arch: str, backend: str) -> None:
    assert python(arch, backend, ASYNCIO) == f"answered {list(range(10))}\n"


def test_there_is_no_network(arch: str) -> None:
    refused = "Address family not supported by protocol\n" * 4
    assert python(arch, "unicorn", NO_NETWORK) == f"{refused}OSError\ngaierror\nFalse True\n"


def connect(task: Task, address: str | bytes) -> int:
    """Connect as soon as somebody listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        fd = task.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            task.connect(fd, address)
        except (FileNotFoundError, ConnectionRefusedError):
            assert time.monotonic() < deadline
            task.close(fd)
            task.sleep(0.01)
        else:
            return fd


def receive(task: Task, fd: int, count: int) -> bytes:
    data = b""
    while len(data) < count and (part := task.recv(fd, count - len(data))):
        data += part
    return data


@pytest.mark.parametrize(
    ("kind", "here", "there"),
    [
        pytest.param("UNIX", "/tmp/here", "/tmp/there", id="paths"),
        pytest.param("ABSTRACT", b"\0here", b"\0there", id="abstract"),
    ],
)
def test_socat_between_sockets(
    kind: str, here: str | bytes, there: str | bytes, arch: str, backend: str
) -> None:
    program = Program("socat", "usr/bin/socat", arch, backend)
    names = [os.fsdecode(name).lstrip("\0") for name in (here, there)]
    words = (f"{kind}-LISTEN:{names[0]}", f"{kind}-CONNECT:{names[1]}")
    with program.machine(*words, services=True) as machine:
        guest = machine.guest
        guest.timeout = PATIENCE
        server = guest.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        guest.bind(server, there)
        guest.listen(server)
        near = connect(guest, here)
        far, _ = guest.accept4(server)
        guest.send(near, b"there")
        assert guest.recv(far, 100) == b"there"
        block = bytes(range(256)) * 100
        for _ in range(5):
            guest.send(far, block)
            assert receive(guest, near, len(block)) == block
        guest.shutdown(near, socket.SHUT_WR)
        assert guest.recv(far, 100) == b""
        guest.close(far)
        with pytest.raises(GuestStopped, match="exited with status 0"):
            guest.sleep(PATIENCE)
