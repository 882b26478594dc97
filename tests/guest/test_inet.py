"""AF_INET: UDP and ICMP of programs and of the kernel, as on Linux."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.guest.test_packets import network, on_linux
from tests.guest.test_programs import build
from tests.passt import need_passt
from vmm import Machine
from vmm.arch import parse_arch
from vmm.images.bundled import kernel_path

PROGRAM = Path(__file__).parent / "devices/inet.c"

__all__ = ["network"]  # the fixture


def run(arch: str, backend: str, command_line: str, *words: str) -> str:
    """Return what the program prints with a network card; it must not fail."""
    with Machine(
        build(PROGRAM, arch, "static"),
        words,
        arch=arch,
        backend=backend,
        cmdline=command_line,
        nets=["user"],
        stdin=b"",
    ) as machine:
        assert machine.run(timeout=60) == 0
        log = machine.console.log.decode()
        return log + machine.console.output.decode()


@pytest.mark.usefixtures("network")
def test_like_on_linux(arch: str, backend: str) -> None:
    expected = on_linux(PROGRAM)
    assert run(arch, backend, "").splitlines() == expected.splitlines()


@pytest.mark.usefixtures("network")
def test_other_networks_are_behind_the_gateway(arch: str, backend: str) -> None:
    output = run(arch, backend, "ip=192.0.2.2/24,192.0.2.1", "198.51.100.7", "7")
    assert "by the gateway from 198.51.100.7 port 7" in output


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    "word",
    ["", "192.0.2.2", "192.0.2.2/33", "192.0.2/24", "192.0.2.256/24", "1.2.3.4/8,", "1.2.3.4/8x"],
)
def test_an_address_that_cannot_be_is_logged(word: str) -> None:
    output = run("x86_64", "unicorn", f"loglevel=1 ip={word}", "192.0.2.1", "7")
    assert f"ip={word}: write ADDRESS/PREFIX" in output
    assert "-1 error 101" in output


@pytest.mark.usefixtures("network")
def test_wild_packets_change_nothing(arch: str, backend: str) -> None:
    output = run(arch, backend, "ip=192.0.2.2/24", "192.0.2.1", "25", "still there")
    assert output.endswith("length                                                       11\n")


@pytest.mark.usefixtures("network")
def test_raw_sockets_are_the_superusers(arch: str) -> None:
    chosen = parse_arch(arch)
    assert chosen is not None
    options = {"arch": arch, "backend": "unicorn"}
    with Machine(kernel_path(chosen), **options, nets=["user"], services=True) as machine:
        raw = (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        machine.guest.close(machine.guest.socket(*raw))
        with machine.guest.task() as user:
            user.syscall("setresuid", 1000, 1000, 1000)
            with pytest.raises(PermissionError):
                user.socket(*raw)
            user.close(user.socket(socket.AF_INET, socket.SOCK_DGRAM))
        machine.guest.close(machine.guest.socket(*raw))


def test_passt_leads_to_the_host(arch: str, backend: str) -> None:
    """The gateway's address is the host's own, for passt."""
    need_passt()
    gateway = default_gateway()
    if not gateway:
        pytest.skip("needs a host with a default route, as passt does")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        thread = threading.Thread(target=lambda: server.sendto(*server.recvfrom(100)))
        thread.start()
        port = server.getsockname()[1]
        output = run(arch, backend, "ip=10.9.8.7/24,10.9.8.1", gateway, str(port))
        thread.join()
    assert f"by the gateway from {gateway} port {port}" in output


def default_gateway() -> str:
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        _, target, gateway, *_ = line.split()
        if int(target, 16) == 0:
            return socket.inet_ntoa(int(gateway, 16).to_bytes(4, "little"))
    return ""
