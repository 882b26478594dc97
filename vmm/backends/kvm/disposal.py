"""What nobody has to wait for when a machine is dropped, in a thread beside.

The kernel takes a machine of KVM apart when its last descriptor is closed, and waits until no
processor can see it any more: a fifth of the life of a short one. Behind that it is cheaper to
unmap its RAM, too.
"""

from __future__ import annotations

import atexit
import os
from _thread import allocate_lock

from vmm.errors import VmmError
from vmm.host.threads import start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

# Tasks that may wait. Whoever leaves more takes part in the work.
_MOST: Final = 8

# How long the thread stays for the next one (s).
_PATIENCE: Final = 1.0


class Disposal:
    """Tasks, and the thread that does them in their order while there are any."""

    def __init__(self) -> None:
        self._tasks: list[Callable[[], object]] = []
        self._start_over()
        os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        # In a forked child the thread is missing, and the locks are as they happened to be.
        self._guard = allocate_lock()
        self._wake = allocate_lock()
        self._wake.acquire()
        self._running = False
        self._work = allocate_lock()  # held while the thread does a task

    def close(self, fd: int) -> None:
        """Close ``fd``, mostly later."""

        def close() -> None:
            os.close(fd)

        with self._guard:
            if self.pending < _MOST and self._summon():
                self._tasks.append(close)
                return
        close()

    def follow(self, task: Callable[[], object]) -> None:
        """Do ``task``, which raises nothing: now, or behind what waits to be done."""
        with self._guard:
            if 0 < self.pending < _MOST:
                self._tasks.append(task)
                return
        task()

    @property
    def pending(self) -> int:
        """How many tasks are not done yet."""
        return len(self._tasks) + self._work.locked()

    def finish(self) -> None:
        """Have everything done, at the end of the process.

        The kernel would do it, but then both what closes a machine and what drops the process's
        memory wait for all processors, and who does so right behind another one waits 14 ms.
        """
        with self._guard:
            tasks, self._tasks = self._tasks, []
        with self._work:
            for task in tasks:
                task()

    def _summon(self) -> bool:
        """Let the thread look; False if there can be none, at the interpreter's end."""
        if not self._running:
            try:
                start_thread(self._serve)
            except VmmError:
                return False
            self._running = True
        elif self._wake.locked():
            self._wake.release()
        return True

    def _serve(self) -> None:
        while True:
            with self._guard:
                # Off the list before it is done: a child process that begins between the two must
                # not close what has the same number there.
                task = self._tasks.pop(0) if self._tasks else None
                if task is not None:
                    self._work.acquire()
            if task is not None:
                task()
                self._work.release()
            elif not self._wake.acquire(timeout=_PATIENCE):
                with self._guard:
                    if not self._tasks:
                        self._running = False
                        return


disposal = Disposal()
atexit.register(disposal.finish)
