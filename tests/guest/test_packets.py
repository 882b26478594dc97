"""AF_PACKET: programs exchange Ethernet frames with the host, as on Linux."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.guest.devices import responder
from tests.guest.test_programs import build
from tests.passt import need_passt
from vmm import Machine
from vmm.arch import X86_64, host_arch

PROGRAM = Path(__file__).parent / "devices/packets.c"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the responder where passt is looked for."""
    passt = tmp_path / "passt"
    passt.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{responder.__file__}" "$@"\n')
    passt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@cache
def on_linux(source: Path) -> str:
    """What a program prints in a network namespace of this system."""
    program = build(source, host_arch() or X86_64, "static")
    result = subprocess.run(
        [sys.executable, responder.__file__, program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "network namespace" in result.stderr or "/dev/net/tun" in result.stderr:
        pytest.skip(f"needs a network namespace with a TAP interface: {result.stderr[-200:]}")
    assert result.stderr == ""
    return result.stdout


@pytest.mark.usefixtures("network")
def test_like_on_linux(arch: str, backend: str) -> None:
    expected = on_linux(PROGRAM)
    with Machine(
        build(PROGRAM, arch, "static"), arch=arch, backend=backend, nets=["user"], stdin=b""
    ) as machine:
        status = machine.run(timeout=60)
        assert machine.console.output.decode().splitlines() == expected.splitlines()
    assert status == 0


def test_passt_answers(arch: str, backend: str) -> None:
    """It has all addresses but the guest's own."""
    need_passt()
    with Machine(
        build(PROGRAM, arch, "static"),
        ["ARP"],
        arch=arch,
        backend=backend,
        nets=["user"],
        stdin=b"",
    ) as machine:
        assert machine.run(timeout=60) == 0
        output = machine.console.output
    assert b"\nanswer 2 of " in output
    assert output.endswith(b" to own 0\n")
