"""Standard input as the guest's terminal: raw mode, its size, and the escape key Ctrl-A.

Every key goes to the guest, Ctrl-C among them. Ctrl-A X ends the machine; Ctrl-A Ctrl-A (or
Ctrl-A A) sends one Ctrl-A.
"""

from __future__ import annotations

import os
import select
import signal
import termios
import tty
from _thread import allocate_lock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vmm.host.threads import start_thread
from vmm.machine import outcome

if TYPE_CHECKING:
    from vmm.machine.machine import Machine

_ESCAPE = 0x01  # Ctrl-A


class EscapeFilter:
    """Takes escape sequences out of what is typed."""

    def __init__(self) -> None:
        self._escaped = False
        self.quit = False

    def feed(self, typed: bytes) -> bytes:
        """Return what is for the guest; sets ``quit`` at Ctrl-A X."""
        passed = bytearray()
        for key in typed:
            if self._escaped:
                self._escaped = False
                if key in b"xX":
                    self.quit = True
                    break
                if key in (_ESCAPE, ord("a"), ord("A")):
                    passed.append(_ESCAPE)
                else:
                    passed += bytes((_ESCAPE, key))
            elif key == _ESCAPE:
                self._escaped = True
            else:
                passed.append(key)
        return bytes(passed)


@contextmanager
def terminal_input(machine: Machine, fd: int = 0) -> Iterator[None]:
    """Give the terminal ``fd`` to the machine while the block runs; restores it afterwards."""
    before = termios.tcgetattr(fd)
    wake_reader, wake_writer = os.pipe()
    ended = allocate_lock()
    ended.acquire()
    start_thread(_pump, machine, fd, wake_reader, ended.release)
    has_size = machine.has_console
    if has_size:
        _tell_size(machine, fd)
        # The bus may be in use where the signal comes: the reader does it.
        signal.signal(signal.SIGWINCH, lambda *_: _write_byte(wake_writer))
    machine.console.terminal = fd
    try:
        tty.setraw(fd)
        # Output goes on being processed: the guest's own lines end in a bare newline.
        attributes = termios.tcgetattr(fd)
        attributes[1] |= termios.OPOST
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
        yield
    finally:
        if has_size:
            signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        os.close(wake_writer)
        ended.acquire(timeout=1)
        os.close(wake_reader)
        try:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
        except termios.error:
            pass  # the terminal has gone


def _write_byte(fd: int) -> None:
    os.write(fd, b"s")


def _tell_size(machine: Machine, fd: int) -> None:
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return  # the terminal has gone
    machine.set_console_size(columns, rows)


def _pump(machine: Machine, fd: int, wake: int, end: Callable[[], None]) -> None:
    try:
        _pass_keys(machine, fd, wake)
    finally:
        end()


def _pass_keys(machine: Machine, fd: int, wake: int) -> None:
    keys = EscapeFilter()
    while True:
        ready, _, _ = select.select([fd, wake], [], [])
        if wake in ready:
            if not os.read(wake, 1):
                return
            _tell_size(machine, fd)
            continue
        try:
            typed = os.read(fd, 4096)
        except OSError:
            typed = b""
        if not typed:
            machine.console.close_input()
            return
        passed = keys.feed(typed)
        if passed:
            machine.console.send(passed)
        if keys.quit:
            machine.stop(outcome.STATUS_INTERRUPTED, message="ended by Ctrl-A X")
            return
