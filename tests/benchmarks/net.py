"""A virtio network interface at a TAP: Linux sends and receives by TCP, 4 KiB and 128 KiB a call.

Beside QEMU with the same guest and interface, and beside the same over the host's loopback.
Needs the right to make a TAP interface, and the program ``ip``.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from tests.benchmarks.linux_guests import Section, build, compare, ours, qemus
from tests.benchmarks.measure import Case

# TEST-NET-2 (RFC 5737).
HOST, GUEST, PREFIX = "198.51.100.1", "198.51.100.2", 30
SENDS, RECEIVES = 7001, 7002

CONFIGURE = f"ifconfig eth0 {GUEST} netmask 255.255.255.252 up\n"


@contextmanager
def interface() -> Iterator[str]:
    """Make a TAP interface for as long as the block runs; yields its name."""
    if HOST.rpartition(".")[0] in Path("/proc/net/fib_trie").read_text():
        sys.exit(f"the host uses the network of {HOST} itself")
    name = f"vmmbench{os.getpid() % 1_000_000}"
    commands = (
        f"ip tuntap add {name} mode tap vnet_hdr",
        f"ip addr add {HOST}/{PREFIX} dev {name}",
        f"ip link set {name} up",
    )
    try:
        for command in commands:
            subprocess.run(command.split(), check=True)
        yield name
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"no TAP interface: {error}")
    finally:
        subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)


def serve(address: str) -> None:
    """Take all that is sent to one port; at the other, send what the first line asks for."""
    for port, talk in ((SENDS, _take), (RECEIVES, _give)):
        listener = socket.create_server((address, port))
        Thread(target=_accept, args=(listener, talk), daemon=True).start()


def _accept(listener: socket.socket, talk: object) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            talk(connection)  # type: ignore[operator]


def _take(connection: socket.socket) -> None:
    buffer = bytearray(1 << 18)
    while connection.recv_into(buffer):
        pass


def _give(connection: socket.socket) -> None:
    size, count = map(int, connection.recv(100).split())
    for _ in range(count):
        connection.sendall(bytes(size))


def sections(scale: int) -> list[Section]:
    made = []
    for label, size, requests in (("4k", 4 << 10, 1000 * scale), ("128k", 128 << 10, 64 * scale)):
        sending = f"dd if=/dev/zero bs={label} count={requests} | nc {HOST} {SENDS}"
        receiving = f"echo {size} {requests} | nc {HOST} {RECEIVES}"
        made.append(Section(f"send-{label}", sending, requests, size))
        made.append(Section(f"receive-{label}", receiving, requests, size))
    return made


def loopback(section: Section) -> Case:
    """Return the same between two sockets of the host."""

    def loop() -> float:
        sending = section.name.startswith("send")
        start = time.perf_counter()
        with socket.create_connection((HOST, SENDS if sending else RECEIVES)) as connection:
            if sending:
                for _ in range(section.requests):
                    connection.sendall(bytes(section.size))
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
            else:
                connection.sendall(f"{section.size} {section.requests}\n".encode())
                _take(connection)
        return time.perf_counter() - start

    return Case(section.name, loop)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench net", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="boots of each guest")
    parser.add_argument("--scale", type=int, default=4, help="times 1000 calls of 4 KiB")
    arguments = parser.parse_args()
    chosen = sections(arguments.scale)
    with tempfile.TemporaryDirectory() as name, interface() as tap:
        serve(HOST)
        ramdisk = build(Path(name), ["virtio_mmio", "virtio_net"], CONFIGURE, chosen)
        network = ["-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no"]
        guests = [
            ours(ramdisk, ["--net", f"tap={tap}"]),
            qemus(ramdisk, [*network, "-device", "virtio-net-device,netdev=net"]),
        ]
        floors = [loopback(section) for section in chosen]
        compare([g for g in guests if g is not None], chosen, floors, arguments.rounds)


if __name__ == "__main__":
    main()
