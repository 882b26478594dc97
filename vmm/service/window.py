"""The window: guest memory that both sides see, and who has which part of it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ALIGNMENT: Final = 64


class Room:
    """A part of the window.

    Attributes:
        address: the guest's virtual address of it.
        view: its bytes.
    """

    __slots__ = ("address", "view")

    def __init__(self, address: int, view: memoryview) -> None:
        self.address = address
        self.view = view

    def __len__(self) -> int:
        return len(self.view)

    def read(self, length: int) -> bytes:
        """Return a copy of the first ``length`` bytes."""
        return bytes(self.view[:length])


class Window:
    """Gives out parts of the window, first fit. Not for several threads at once."""

    def __init__(self, address: int, view: memoryview) -> None:
        """Begin with all of ``view`` free; ``address`` is where the guest sees it."""
        self._address = address
        self._view = view
        self._free = [(0, len(view))]

    def __len__(self) -> int:
        return len(self._view)

    def take(self, length: int) -> Room | None:
        """Return ``length`` bytes that are free, or None."""
        size = -(-max(length, 1) // _ALIGNMENT) * _ALIGNMENT
        for index, (start, free) in enumerate(self._free):
            if free >= size:
                rest = [(start + size, free - size)] if free > size else []
                self._free[index : index + 1] = rest
                return Room(self._address + start, self._view[start : start + length])
        return None

    def give(self, room: Room) -> None:
        """Take back what `take` gave."""
        size = -(-max(len(room), 1) // _ALIGNMENT) * _ALIGNMENT
        merged: list[tuple[int, int]] = []
        for start, length in sorted([*self._free, (room.address - self._address, size)]):
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + length)
            else:
                merged.append((start, length))
        self._free = merged
