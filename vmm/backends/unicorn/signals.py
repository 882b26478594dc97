"""Signals that come while the guest executes natively.

Python calls the handlers of signals in its main thread, between two of its own instructions. In the
engine that thread executes none: a guest that loops would keep Ctrl-C waiting for ever. But the
interpreter writes the number of a signal to a descriptor as soon as it comes. A thread waits for
that, and has every vCPU leave the engine for a moment.
"""

from __future__ import annotations

import os

from vmm.host.threads import start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from signal import set_wakeup_fd
    from typing import Final
else:
    # Without the enumerations that the module signal builds.
    from _signal import set_wakeup_fd

_NUMBERS: Final = 64  # signals that are taken at once


class SignalWatch:
    """Kicks vCPUs at each signal, unless the program has itself told of signals (as asyncio does).

    The interpreter tells the main thread's machines only: no other thread keeps handlers waiting.
    """

    def __init__(self) -> None:
        self._kicks: list[Callable[[], None]] = []
        self._reader = self._writer = -1
        self._unserved = False

    def add(self, kick: Callable[[], None]) -> None:
        """Call ``kick`` at each signal from now on, once the watch is kept."""
        self._kicks.append(kick)
        if self._writer < 0 and _replace(-1, -1):
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._writer, False)
            self._unserved = True
        _replace(-1, self._writer)

    def keep(self) -> None:
        """Start the thread of the watch if it is missing.

        Just before a guest executes: the interpreter, which a new thread asks for, is then free.
        """
        if self._unserved:
            start_thread(self._serve, self._reader)
            self._unserved = False

    def remove(self, kick: Callable[[], None]) -> None:
        """Forget a ``kick`` that was added."""
        self._kicks.remove(kick)
        if not self._kicks:
            _replace(self._writer, -1)

    def start_over(self) -> None:
        """Leave to the parent process what is its: its thread is not here, its machines are."""
        if self._writer < 0:
            return
        _replace(self._writer, -1)
        os.close(self._reader)
        os.close(self._writer)
        self._reader = self._writer = -1
        self._unserved = False

    def _serve(self, reader: int) -> None:
        while os.read(reader, _NUMBERS):
            for kick in self._kicks.copy():
                kick()


def _replace(old: int, new: int) -> bool:
    """Have signals told to ``new`` instead of ``old``; False if that is not ours to do."""
    try:
        found = set_wakeup_fd(new, warn_on_full_buffer=False)
        if found == old:
            return True
        set_wakeup_fd(found, warn_on_full_buffer=False)
    except ValueError:
        pass  # not the main thread
    return False


signal_watch: Final = SignalWatch()
os.register_at_fork(after_in_child=signal_watch.start_over)
