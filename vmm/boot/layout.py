"""Who has which part of guest RAM at start, and the region list that tells the kernel."""

from __future__ import annotations

from vmm.errors import UsageError
from vmm.hypercall import abi
from vmm.memory import PAGE_SIZE
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

READ_WRITE: Final = abi.REGION_READ | abi.REGION_WRITE


@value
class Region:
    """A region descriptor: ``struct calypso_region``.

    Attributes:
        physical: guest-physical address; a multiple of the page size.
        virtual: where the kernel is to map it.
        length: bytes; a multiple of the page size, never 0.
        type: one of ``abi.REGION_FREE`` and so on.
        flags: ``abi.REGION_READ``, ``REGION_WRITE``, ``REGION_EXECUTE``.
        name: for people; at most 15 ASCII characters.
    """

    physical: int
    virtual: int
    length: int
    type: int
    flags: int
    name: str

    @property
    def end(self) -> int:
        """The first guest-physical address behind the region."""
        return self.physical + self.length


class Layout:
    """RAM while it is being given away: reservations, and what is still free."""

    def __init__(self, ram: Iterable[tuple[int, int]], direct_map: int) -> None:
        """Begin with all of ``ram``, ascending and disjoint pairs (base, size), free.

        Every region's virtual address is ``direct_map`` + its physical one.
        """
        self._direct_map = direct_map
        self._free = [(base, base + size) for base, size in ram if size]
        self._regions: list[Region] = []

    def reserve(self, physical: int, length: int, kind: int, flags: int, name: str) -> Region:
        """Take the pages that hold ``length`` bytes at ``physical``.

        Raises:
            UsageError: if one of them is not free RAM.
        """
        start = physical & -PAGE_SIZE
        end = round_up(physical + length)
        self._take(start, end, name)
        return self._add(start, end, kind, flags, name)

    def place_at_top(self, length: int, kind: int, flags: int, name: str) -> Region:
        """Take pages for ``length`` bytes as high in RAM as they fit.

        Raises:
            UsageError: if no free range is that long.
        """
        size = round_up(length)
        for start, end in reversed(self._free):
            if end - start >= size:
                self._take(end - size, end, name)
                return self._add(end - size, end, kind, flags, name)
        raise UsageError(f"no {mebibytes(size)} MiB of RAM in one piece for the {name}")

    def place_behind(self, start: int, length: int, kind: int, flags: int, name: str) -> Region:
        """Take pages for ``length`` bytes at ``start``, else as high in RAM as they fit.

        Raises:
            UsageError: if no free range is that long.
        """
        end = start + round_up(length)
        if any(free_start <= start and end <= free_end for free_start, free_end in self._free):
            return self.reserve(start, length, kind, flags, name)
        return self.place_at_top(length, kind, flags, name)

    def exclude(self, physical: int, length: int) -> None:
        """Take pages that nobody shall use, and keep them off the list."""
        self._take(physical, physical + length, "excluded page")

    def add_device(self, physical: int, length: int, name: str) -> Region:
        """Put registers, which are not in RAM, on the list.

        Raises:
            ValueError: if they overlap RAM or other registers, or are not whole pages.
        """
        end = physical + length
        if length <= 0 or (physical | length) % PAGE_SIZE:
            raise ValueError(f"{name}: {physical:#x}..{end:#x} is not a range of whole pages")
        for region in self.regions():
            if physical < region.end and region.physical < end:
                raise ValueError(f"{name} at {physical:#x} overlaps {region.name}")
        return self._add(physical, end, abi.REGION_DEVICE, READ_WRITE, name)

    def regions(self) -> list[Region]:
        """Return reservations and free RAM as one list, ascending and disjoint."""
        free = [
            self._region(start, end, abi.REGION_FREE, READ_WRITE, "ram")
            for start, end in self._free
        ]
        return sorted(self._regions + free, key=_physical)

    def _take(self, start: int, end: int, name: str) -> None:
        for index, (free_start, free_end) in enumerate(self._free):
            if free_start <= start and end <= free_end:
                rest = ((free_start, start), (end, free_end))
                self._free[index : index + 1] = [piece for piece in rest if piece[0] < piece[1]]
                return
        raise UsageError(f"{name} at {start:#x}..{end:#x} is not in free RAM")

    def _add(self, start: int, end: int, kind: int, flags: int, name: str) -> Region:
        region = self._region(start, end, kind, flags, name)
        self._regions.append(region)
        return region

    def _region(self, start: int, end: int, kind: int, flags: int, name: str) -> Region:
        return Region(start, self._direct_map + start, end - start, kind, flags, name)


def round_up(length: int) -> int:
    """Return ``length`` as a multiple of the page size, rounded up."""
    return (length + PAGE_SIZE - 1) & -PAGE_SIZE


def mebibytes(length: int) -> int:
    """Return ``length`` in MiB, rounded up."""
    return -(-length >> 20)


def _physical(region: Region) -> int:
    return region.physical
