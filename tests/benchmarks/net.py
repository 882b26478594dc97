"""A virtio network interface at a TAP: Linux sends and receives by TCP, 4 KiB and 128 KiB a call.

Beside QEMU with the same guest and an interface like it, and beside the same over the host's
loopback. Needs the right to make TAP interfaces, and the program ``ip``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from tests.benchmarks.linux_guests import Section, Setting, build, compare, ours, parser, qemus
from tests.benchmarks.measure import HERE, Case, compile_c

# TEST-NET-2 (RFC 5737): a subnet for each guest, with the host as .1 and the guest as .2 of four.
NETWORK = "198.51.100."
SENDS, RECEIVES = 7001, 7002

# Bytes and calls: long beside the 10 ms or so that the guest's shell takes to start a program.
SIZES = {"4k": (4 << 10, 10000), "128k": (128 << 10, 1000)}


@dataclass(frozen=True)
class Interface:
    """A TAP interface of the host, and the addresses of its two ends."""

    name: str
    host: str
    guest: str


@contextmanager
def interface(number: int) -> Iterator[Interface]:
    """Make a TAP interface for as long as the block runs."""
    made = Interface(
        f"vmmb{number}p{os.getpid() % 1_000_000}",
        f"{NETWORK}{4 * number + 1}",
        f"{NETWORK}{4 * number + 2}",
    )
    commands = (
        f"ip tuntap add {made.name} mode tap vnet_hdr",
        f"ip addr add {made.host}/30 dev {made.name}",
        f"ip link set {made.name} up",
    )
    try:
        for command in commands:
            subprocess.run(command.split(), check=True)
        yield made
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"no TAP interface: {error}")
    finally:
        subprocess.run(["ip", "link", "delete", made.name], check=False, capture_output=True)


def serve() -> None:
    """Take all that is sent to one port; at the other, send what the first line asks for."""
    for port, talk in ((SENDS, _take), (RECEIVES, _give)):
        Thread(target=_accept, args=(socket.create_server(("", port)), talk), daemon=True).start()


def _accept(listener: socket.socket, talk: Callable[[socket.socket], None]) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            talk(connection)


def _take(connection: socket.socket) -> None:
    buffer = bytearray(1 << 18)
    while connection.recv_into(buffer):
        pass


def _give(connection: socket.socket) -> None:
    size, count = map(int, connection.recv(100).split())
    content = bytes(size)
    for _ in range(count):
        connection.sendall(content)


def sections() -> list[Section]:
    # The guest asks its own gateway, which is the host at the other end of its wire.
    gateway = "$(cat /tmp/gateway)"
    made = []
    for label, (size, calls) in SIZES.items():
        sending = f"transfer send {gateway} {SENDS} {size} {calls}"
        receiving = f"transfer receive {gateway} {RECEIVES} {size} {calls}"
        made.append(Section(f"send-{label}", sending, calls, size))
        made.append(Section(f"receive-{label}", receiving, calls, size))
    return made


def loopback(section: Section) -> Case:
    """Return the same between two sockets of the host."""

    def loop() -> float:
        sending = section.name.startswith("send")
        content = bytes(section.size)
        start = time.perf_counter()
        with socket.create_connection(("127.0.0.1", SENDS if sending else RECEIVES)) as connection:
            if sending:
                for _ in range(section.requests):
                    connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
            else:
                connection.sendall(f"{section.size} {section.requests}\n".encode())
                _take(connection)
        return time.perf_counter() - start

    return Case(section.name, loop)


def _configure(interfaces: list[Interface]) -> str:
    """Return the commands by which a guest takes the address of the interface that it is at.

    One initramfs serves all guests; an interface's number is the last digit of its MAC address.
    """
    lines = ["case $(cat /sys/class/net/eth0/address) in"]
    for number, at in enumerate(interfaces):
        address = f"ifconfig eth0 {at.guest} netmask 255.255.255.252 up"
        lines.append(f"*:{number:02x}) echo {at.host} > /tmp/gateway; {address} ;;")
    return "\n".join([*lines, "esac", ""])


def _mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def main() -> None:
    """Measure and print."""
    arguments = parser("net", __doc__, rounds=11).parse_args()
    setting = Setting(arguments.arch, arguments.backend)
    if NETWORK in Path("/proc/net/fib_trie").read_text():
        sys.exit(f"the host uses the network of {NETWORK}0 itself")
    target = {"x86_64": "x86_64-linux-musl", "arm64": "aarch64-linux-musl"}[setting.arch]
    program = compile_c(
        HERE / "transfer.c", "-O2", "-static", f"--target={target}", arch=f"-{target}"
    )
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        first, second = interfaces = [stack.enter_context(interface(n)) for n in range(2)]
        serve()
        modules = ["virtio_mmio", "virtio_net"]
        ramdisk = build(directory, setting, modules, _configure(interfaces), [program])
        network = f"tap,id=net,ifname={second.name},script=no,downscript=no"
        peer = ["-netdev", network, "-device", f"virtio-net-device,netdev=net,mac={_mac(1)}"]
        own = ["--net", f"tap={first.name},mac={_mac(0)}"]
        guests = [ours(setting, ramdisk, own), *qemus(setting, ramdisk, peer)]
        chosen = sections()
        compare(guests, chosen, [loopback(section) for section in chosen], arguments.rounds)


if __name__ == "__main__":
    main()
