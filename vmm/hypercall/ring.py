"""The host's end of the service ring (see guest/include/calypso/abi.h): calls in, results out.

The guest may write anything into the shared memory at any time: indices and results are numbers to
be checked by whoever uses them, and no loop here is longer than the ring.
"""

from __future__ import annotations

from vmm.errors import VmmError
from vmm.hypercall import abi
from vmm.memory import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.memory import GuestMemory

# Calls in flight; a task has one at a time.
ENTRIES: Final = 256

# The words at RING_INDICES_OFFSET.
_SUBMISSION_TAIL: Final = 0
_COMPLETION_HEAD: Final = 1
_SUBMISSION_HEAD: Final = 2
_COMPLETION_TAIL: Final = 3

_MASK: Final = 0xFFFF_FFFF
_SUBMISSIONS: Final = (abi.RING.size + 63) & -64
_COMPLETIONS: Final = _SUBMISSIONS + ENTRIES * abi.SUBMISSION.size
_HEADER: Final = -(-(_COMPLETIONS + ENTRIES * abi.COMPLETION.size) // PAGE_SIZE) * PAGE_SIZE


class Ring:
    """A ring in guest RAM.

    Attributes:
        window: what both sides share besides, for what calls point to.
    """

    def __init__(self, memory: GuestMemory, gpa: int, length: int) -> None:
        """Lay out a ring in ``length`` zero bytes at ``gpa``, before the guest starts.

        Raises:
            VmmError: if it does not fit.
        """
        if length <= _HEADER:
            raise VmmError(f"a service ring needs more than {length} bytes of guest RAM")
        self._view = memory.view(gpa, length)
        self.window = self._view[_HEADER:]
        indices = self._view[abi.RING_INDICES_OFFSET : abi.RING.size]
        self._indices = indices.cast("I")
        self._outputs = self._view[abi.RING_WINDOW_ADDRESS_OFFSET : abi.RING_INDICES_OFFSET].cast(
            "Q"
        )
        layout = (_SUBMISSIONS, ENTRIES, _COMPLETIONS, ENTRIES, _HEADER, length - _HEADER)
        header = (abi.RING_MAGIC, abi.RING_VERSION, abi.RING.size, *layout)
        abi.RING.pack_into(self._view, 0, *header, 0, 0, 0, 0, 0, 0)

    @property
    def features(self) -> int:
        """``abi.RING_*`` that the guest serves; 0 while it is not ready."""
        return self._outputs[1]

    @property
    def window_address(self) -> int:
        """The guest's virtual address of the window."""
        return self._outputs[0]

    @property
    def submitted(self) -> bool:
        """Tell whether there are submissions that the guest has not taken."""
        indices = self._indices
        return indices[_SUBMISSION_TAIL] != indices[_SUBMISSION_HEAD]

    def submit(
        self, tag: int, operation: int, flags: int, task: int, number: int, *arguments: int
    ) -> None:
        """Ask the guest for something; ``arguments`` are six 64-bit words.

        The caller has at most `ENTRIES` submissions without a completion.
        """
        indices = self._indices
        tail = indices[_SUBMISSION_TAIL]
        offset = _SUBMISSIONS + tail % ENTRIES * abi.SUBMISSION.size
        abi.SUBMISSION.pack_into(
            self._view, offset, tag, operation, flags, task, number, *arguments
        )
        indices[_SUBMISSION_TAIL] = (tail + 1) & _MASK

    def collect(self) -> list[tuple[int, int]]:
        """Take all completions that are there: (tag, result)."""
        indices = self._indices
        head = indices[_COMPLETION_HEAD]
        count = min((indices[_COMPLETION_TAIL] - head) & _MASK, ENTRIES)
        size = abi.COMPLETION.size
        taken: list[tuple[int, int]] = [
            abi.COMPLETION.unpack_from(self._view, _COMPLETIONS + (head + i) % ENTRIES * size)
            for i in range(count)
        ]
        indices[_COMPLETION_HEAD] = (head + count) & _MASK
        return taken
