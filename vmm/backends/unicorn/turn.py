"""Which vCPU of a machine executes: one at a time, in turns.

The engine executes a guest's atomic instructions as plain ones, so that two vCPUs at a time would
lose updates. A vCPU that waits for an interrupt gives its turn up by itself; one that does not, for
example because it waits in a loop for another vCPU, loses it after a slice.
"""

from __future__ import annotations

from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.unicorn.doorbell import Doorbell

# How long a vCPU executes while another one waits, in seconds: some times what a change costs.
_SLICE: Final = 0.002


class Turn:
    """The turn of one machine's vCPUs.

    Attributes:
        index: number of the vCPU that has it, or had it last.
        previous: number of the vCPU that had it before.
    """

    __slots__ = ("_executing", "_holder", "_next", "index", "previous")

    def __init__(self) -> None:
        self.index = self.previous = 0
        self._executing = allocate_lock()
        # Held by the one that gets the turn next, so that who has just lost it waits behind.
        self._next = allocate_lock()
        self._holder: Doorbell | None = None

    @property
    def taken(self) -> bool:
        """Whether a vCPU has the turn."""
        return self._executing.locked()

    def take(self, index: int, bell: Doorbell) -> bool:
        """Wait for the turn of vCPU ``index``; False if its ``bell`` rang before."""
        while not self._next.acquire(timeout=_SLICE):
            if bell.rung:
                return False
        try:
            while not self._executing.acquire(timeout=_SLICE):
                if bell.rung:
                    return False
                holder = self._holder
                if holder is not None:
                    holder.ring()
        finally:
            self._next.release()
        self._holder = bell
        self.previous, self.index = self.index, index
        return True

    def give(self) -> None:
        """Give the turn up."""
        self._holder = None
        self._executing.release()
