"""How other threads get the attention of a vCPU that executes, sleeps, or does neither.

The engine's own ``uc_emu_stop`` can be lost: while a run starts, the engine clears the very flags
that it sets. And a request that waits in Python is not seen while the guest executes natively. So
a request is first noted in Python, where nothing is lost, and the engine is then stopped again and
again until the vCPU's thread has left native code and seen the note.
"""

from __future__ import annotations

from _thread import allocate_lock
from time import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.backends.api import Sleep

# How long to wait for an answer before the next attempt, in seconds: at first only as long as it
# takes to let another thread run, then longer each time.
_PAUSE_STEP: Final = 20e-6
_LONGEST_PAUSE: Final = 1e-3


class Doorbell:
    """One vCPU's bell.

    The vCPU's thread keeps `native` and `rung` by this protocol, each step of which is atomic
    under the interpreter's lock:

    * before native code: clear `rung`, look at all requests, set `native`, and start only if
      `rung` is still clear;
    * after native code, and first thing in a callback from it: clear `native`;
    * last thing in a callback: set `native`, then look at `rung`.

    Attributes:
        native: the vCPU's thread is in the engine, or about to be.
        rung: there is something to look at.
        sleep: how the vCPU's thread waits for the bell; by default it just does.
    """

    __slots__ = ("_asleep", "_guard", "_stop", "native", "rung", "sleep")

    def __init__(self, stop: Callable[[], object]) -> None:
        """Make a bell that interrupts native code by ``stop``, which may fail to."""
        self.native = False
        self.rung = False
        self._stop = stop
        self._asleep = False
        self.sleep: Sleep = PlainSleep()
        self._guard = allocate_lock()

    def ring(self) -> None:
        """Have the vCPU look at its requests soon. Any thread.

        Returns once native code is left, if `sleep` does not see to that later. It does not wait
        for a vCPU that is in Python: that one looks before it goes on.
        """
        self.rung = True
        if self._asleep:
            self.sleep.wake()
        if self.native:
            self.sleep.insist(self._insist)

    def _insist(self) -> None:
        pause = 0.0
        while self.native and self.rung:
            with self._guard:
                if self.native:
                    self._stop()
            sleep(pause)
            pause = min(pause + _PAUSE_STEP, _LONGEST_PAUSE)

    def wait(self) -> None:
        """Sleep until rung, or shorter. The vCPU's thread only."""
        self._asleep = True
        try:
            self.sleep.sleep(self._is_rung)
        finally:
            self._asleep = False

    def silence(self) -> None:
        """Return when no other thread is in ``stop`` any more; before the engine is closed."""
        self.native = False
        with self._guard:
            pass

    def _is_rung(self) -> bool:
        return self.rung


class PlainSleep:
    """A sleep without anything else to do; see `vmm.backends.api.Sleep`."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def sleep(self, over: Callable[[], bool]) -> None:
        if not over():
            self._lock.acquire()

    def insist(self, act: Callable[[], None]) -> None:
        act()

    def wake(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            # Somebody else has just done it.
            pass
