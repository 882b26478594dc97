"""Options of virtio devices, and what happens when the host does not have what they name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.errors import UsageError
from vmm.machine.device_options import (
    DiskOption,
    NetOption,
    PortOption,
    ShareOption,
    VsockOption,
    parse_disk,
    parse_net,
    parse_port,
    parse_share,
    parse_vsock,
)
from vmm.machine.machine import Machine


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("disk.img", DiskOption("disk.img")),
        ("disk.img,ro", DiskOption("disk.img", read_only=True)),
        ("disk.img,serial=a b", DiskOption("disk.img", serial="a b")),
        ("disk.img,worker", DiskOption("disk.img", worker=True)),
        ("disk.img,serial=x,ro", DiskOption("disk.img", read_only=True, serial="x")),
        ("a,b.img,ro", DiskOption("a,b.img", read_only=True)),
    ],
)
def test_disks(text: str, option: DiskOption) -> None:
    assert parse_disk(text) == option


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "write FILE"),
        (",ro", "write FILE"),
        ("disk.img,serial=" + 21 * "x", "at most 20 bytes"),
        ("disk.img,serial=\udcff", "not in UTF-8"),
        ("/dev/null,r0", "'r0' is not one of ro, worker, serial="),
    ],
)
def test_disks_that_cannot_be(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_disk(text)


@given(st.text(max_size=20))
def test_any_text_is_a_disk_or_a_usage_error(text: str) -> None:
    try:
        assert text.startswith(parse_disk(text).path)
    except UsageError:
        pass


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("/srv:data", ShareOption("/srv", "data")),
        ("/srv:data:ro", ShareOption("/srv", "data")),
        ("/srv:data:rw", ShareOption("/srv", "data", writable=True)),
        ("/a:b:c:rw", ShareOption("/a:b", "c", writable=True)),
    ],
)
def test_shares(text: str, option: ShareOption) -> None:
    assert parse_share(text) == option


@pytest.mark.parametrize("text", ["", "/srv", ":tag", "/srv:", "/srv:" + 32 * "x", "data:rw"])
def test_shares_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="write DIR:TAG"):
        parse_share(text)


def test_vsocks() -> None:
    assert parse_vsock("3=/run/a=b") == VsockOption(3, "/run/a=b")


@pytest.mark.parametrize(
    "text", ["", "3", "3=", "2=/run/x", "x=/run/x", "4294967295=/run/x", 5000 * "9" + "=x"]
)
def test_vsocks_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="write CID=PATH"):
        parse_vsock(text)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("control=/run/a=b", PortOption("control", "socket", "/run/a=b")),
        ("org.example.0=run:x", PortOption("org.example.0", "socket", "run:x")),
        ("log=file:/tmp/log", PortOption("log", "file", "/tmp/log")),
        ("x=fd:7", PortOption("x", "fd", fd=7)),
    ],
)
def test_ports(text: str, option: PortOption) -> None:
    assert parse_port(text) == option


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "x=", "=/run/x", "..=x", "a/b=x", 64 * "x" + "=x", "\udcff=x"),
        *("x=fd:y", "x=fd:2147483648"),
    ],
)
def test_ports_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="--port"):
        parse_port(text)


def test_networks() -> None:
    mac = bytes.fromhex("0200deadbeef")
    option = parse_net("tap=t0,mac=02:00:de:ad:be:ef,address=192.0.2.1/24,bridge=br0")
    assert option == NetOption("t0", mac, "192.0.2.1/24", "br0")
    automatic = parse_net("tap=t1").mac
    assert automatic == parse_net("tap=t1").mac != parse_net("tap=t2").mac
    assert automatic[0] & 3 == 2
    assert parse_net("tap=t2,address=2001:db8::1/128").address == "2001:db8::1/128"
    assert parse_net("user") == NetOption("", parse_net("user").mac)
    option = parse_net("user,mac=02:00:de:ad:be:ef,tcp=8080:80,udp=53")
    assert option == NetOption("", mac, ports=("--tcp-ports", "8080:80", "--udp-ports", "53"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tap=",
        "users",
        "user,tap=t",
        "user,tcp=80:",
        "user,tcp=1:2:3",
        "user,udp=65536",
        "user,mac=1",
        "tap=t,speed=9",
        "tap=t,mac=01:00:00:00:00:00",
        "tap=t,mac=02:00:00:00:00",
        "tap=t,mac=zz:00:00:00:00:00",
        "tap=t,address=192.0.2.1",
        "tap=t,address=/24",
        "tap=t,address=192.0.2.1/33",
        "tap=t,address=2001:db8::1/129",
    ],
)
def test_networks_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="--net"):
        parse_net(text)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"disks": ["/nowhere/disk"]}, "disk /nowhere/disk: No such file"),
        ({"disks": [",ro"]}, "write FILE"),
        ({"disks": ["/dev/null"]}, "neither a file nor a block device"),
        ({"disks": ["a\0b"]}, "NUL"),
        ({"shares": ["/nowhere:x"]}, "share /nowhere: No such file"),
        ({"shares": ["/dev/null:x"]}, "share /dev/null: Not a directory"),
        ({"ports": ["x=/nowhere/x"]}, "port at /nowhere/x: No such file"),
        ({"ports": ["x=file:/nowhere/x"]}, "port to the file /nowhere/x: No such file"),
        ({"ports": ["x=fd:999"]}, "port at descriptor 999: Bad file"),
        ({"ports": ["x=file:/dev/null"] * 2}, "two ports have the same name"),
        ({"ports": [f"{n}=file:/dev/null" for n in range(31)]}, "no more than 30 named ports"),
        ({"devices": ["toaster"]}, "no such device; there are rng"),
    ],
)
def test_what_cannot_be_is_one_line(fields: dict[str, list[str]], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        Machine("hello", backend="unicorn", **fields)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_disks_are_closed_with_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(512))
    with Machine("hello", backend="unicorn", disks=[str(path)]):
        assert str(path) in _open_files()
    assert str(path) not in _open_files()
    with pytest.raises(UsageError):
        Machine("hello", backend="unicorn", disks=[str(path), "/nowhere"])
    assert str(path) not in _open_files()


def _open_files() -> set[str]:
    names = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            names.add(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass  # the one of this very directory
    return names


def test_a_guest_with_devices_runs(arch: str, backend: str) -> None:
    with Machine("hello", arch=arch, backend=backend, devices=["rng"]) as machine:
        assert machine.run(timeout=30) == 0
