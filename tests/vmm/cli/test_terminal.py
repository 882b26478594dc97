"""The escape key and the terminal of an interactive run."""

from __future__ import annotations

import os
import signal
import termios
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.guest.test_programs import build
from tests.vmm.machine.kernels import SPIN, write_kernel
from vmm.cli.terminal import EscapeFilter, terminal_input
from vmm.machine.machine import Machine

CONSOLE = Path(__file__).parents[2] / "guest/devices/console.c"


def test_ctrl_c_reaches_the_guest() -> None:
    assert EscapeFilter().feed(b"\x03") == b"\x03"


def test_ctrl_a_x_quits_and_takes_nothing_behind_it() -> None:
    keys = EscapeFilter()
    assert keys.feed(b"ls\n\x01") == b"ls\n"
    assert not keys.quit
    assert keys.feed(b"xrest") == b""
    assert keys.quit


def test_ctrl_a_twice_is_one() -> None:
    assert EscapeFilter().feed(b"\x01\x01a") == b"\x01a"


def test_ctrl_a_before_any_other_key_passes_both() -> None:
    assert EscapeFilter().feed(b"\x01k") == b"\x01k"


@given(st.lists(st.binary(max_size=5).filter(lambda keys: b"\x01" not in keys)))
def test_without_the_escape_key_nothing_changes(pieces: list[bytes]) -> None:
    keys = EscapeFilter()
    assert b"".join(keys.feed(piece) for piece in pieces) == b"".join(pieces)


def test_a_console_has_the_size_of_the_terminal() -> None:
    master, terminal = os.openpty()
    program = build(CONSOLE, "x86_64", "static")
    with Machine(program, backend="unicorn", devices=["console"]) as machine:
        termios.tcsetwinsize(terminal, (25, 80))
        with terminal_input(machine, terminal):
            machine.console.expect(b"empty", timeout=30)
            os.write(master, b"size\n")
            machine.console.expect(b"0: 80x25\n", timeout=30)
            termios.tcsetwinsize(terminal, (50, 132))
            os.kill(os.getpid(), signal.SIGWINCH)
            deadline = time.monotonic() + 30
            size = b""
            while size != b"132x50":
                assert time.monotonic() < deadline
                os.write(master, b"size\n")
                size = machine.console.expect(rb"0: (\d+x\d+)\n", timeout=30)[1]
            os.write(master, b"end\n")
            assert machine.wait(timeout=30) == 0
    assert signal.getsignal(signal.SIGWINCH) == signal.SIG_DFL
    os.close(master)
    os.close(terminal)


def test_a_terminal_may_go(tmp_path: Path) -> None:
    kernel = write_kernel(tmp_path / "spin", "x86_64", [], SPIN["x86_64"])
    master, terminal = os.openpty()
    with Machine(kernel, backend="unicorn") as machine, terminal_input(machine, terminal):
        os.close(master)
    os.close(terminal)
