"""Closing a machine's last descriptor, in a thread beside.

The kernel then takes the machine apart, and waits until no processor can see it any more: a fifth
of the life of a short one. Whoever drops a machine need not wait for that, too.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Machines that may wait to be taken apart. Whoever drops more takes part in the work.
_MOST: Final = 8

# How long the thread stays for the next one (s).
_PATIENCE: Final = 1.0


class Disposal:
    """Descriptors to be closed, and the thread that does it while there are any."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []
        self._start_over()
        os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        # In a forked child the thread is missing, and the locks are as they happened to be.
        self._guard = allocate_lock()
        self._wake = allocate_lock()
        self._wake.acquire()
        self._running = False
        self._closing = False

    def close(self, fd: int) -> None:
        """Close ``fd``, mostly later."""
        with self._guard:
            if self.pending < _MOST and self._summon():
                self._descriptors.append(fd)
                return
        os.close(fd)

    @property
    def pending(self) -> int:
        """How many descriptors are not closed yet."""
        return len(self._descriptors) + self._closing

    def _summon(self) -> bool:
        """Let the thread look; False if there can be none, at the interpreter's end."""
        if not self._running:
            try:
                start_new_thread(self._serve, ())
            except RuntimeError:
                return False
            self._running = True
        elif self._wake.locked():
            self._wake.release()
        return True

    def _serve(self) -> None:
        while True:
            with self._guard:
                # Off the list before it is closed: a child process that begins between the two
                # must not close what has the same number there.
                fd = self._descriptors.pop(0) if self._descriptors else -1
                self._closing = fd >= 0
            if fd >= 0:
                os.close(fd)
                self._closing = False
            elif not self._wake.acquire(timeout=_PATIENCE):
                with self._guard:
                    if not self._descriptors:
                        self._running = False
                        return


disposal = Disposal()
