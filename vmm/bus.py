"""The bus: where every access of a guest to a device is sized, routed, recorded.

Two address spaces, memory-mapped (MMIO) and port (PIO), hold disjoint regions. Accesses that no
region claims read as all ones and are counted per address; they never raise.
"""

from __future__ import annotations

from _bisect import bisect_right
from _thread import RLock

from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.lines import Region

# Accesses kept for a crash report. Enough to see a driver's last dialogue with one device.
RECENT_ACCESSES: Final = 16

# The record of accesses is cut back to these only when it is this long, which makes it cheap.
_RECENT_ROOM: Final = 8 * RECENT_ACCESSES

# A guest that scans all of memory must not fill the host's: sites counted beyond this are summed.
MAX_UNCLAIMED_SITES: Final = 256

# Addresses whose region is remembered; likewise bounded, they are forgotten all at once.
MAX_REMEMBERED_SITES: Final = 1024

_ALL_ONES: Final = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF_FFFF_FFFF}


@value
class Access:
    """One access as the bus saw it.

    Attributes:
        space: ``"mmio"`` or ``"pio"``.
        address: guest-physical address or port.
        size: in bytes.
        value: what was written, or what a read returned.
        write: True for a write.
    """

    space: str
    address: int
    size: int
    value: int
    write: bool


@value
class Mapping:
    """A region at its place in an address space."""

    base: int
    size: int
    name: str
    region: Region


class AddressSpace:
    """Disjoint regions, found by address.

    Attributes:
        name: ``"mmio"`` or ``"pio"``.
        mappings: the regions, by ascending address.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.mappings: list[Mapping] = []
        self._bases: list[int] = []
        self.sites: dict[int, tuple[Region, int]] = {}

    def attach(self, base: int, size: int, name: str, region: Region) -> None:
        """Place ``region`` at ``base``.

        Raises:
            ValueError: if it is empty or overlaps a region that is there already.
        """
        if size <= 0:
            raise ValueError(f"{name} at {base:#x} has no size")
        index = bisect_right(self._bases, base)
        for neighbour in self.mappings[max(index - 1, 0) : index + 1]:
            if base < neighbour.base + neighbour.size and neighbour.base < base + size:
                raise ValueError(
                    f"{name} at {base:#x} overlaps {neighbour.name} at {neighbour.base:#x}"
                )
        self.mappings.insert(index, Mapping(base, size, name, region))
        self._bases.insert(index, base)

    def find(self, address: int) -> Mapping | None:
        """Return the mapping that holds ``address``."""
        index = bisect_right(self._bases, address) - 1
        if index < 0:
            return None
        mapping = self.mappings[index]
        return mapping if address - mapping.base < mapping.size else None

    def locate(self, address: int) -> tuple[Region, int] | None:
        """Return the region that holds ``address`` and the offset there, and remember both."""
        mapping = self.find(address)
        if mapping is None:
            return None
        if len(self.sites) >= MAX_REMEMBERED_SITES:
            self.sites.clear()
        site = self.sites[address] = (mapping.region, address - mapping.base)
        return site


class Bus:
    """Both address spaces of a machine, and the lock under which its devices run.

    Attributes:
        mmio: the memory-mapped space.
        pio: the port space (x86_64 only has guests that use it).
        lock: held during every access; whoever calls a device from elsewhere (a timer, console
            input) holds it too, so that devices are single-threaded.
        unclaimed: how often each address that nothing claims was accessed.
    """

    def __init__(self) -> None:
        self.mmio = AddressSpace("mmio")
        self.pio = AddressSpace("pio")
        self.lock = RLock()
        self.unclaimed: dict[tuple[str, int], int] = {}
        self._recent: list[tuple[str, int, int, int, bool]] = []

    @property
    def recent(self) -> list[Access]:
        """The last accesses, oldest first."""
        return [Access(*fields) for fields in self._recent[-RECENT_ACCESSES:]]

    def mmio_read(self, address: int, size: int) -> int:
        """Read ``size`` bytes from guest-physical ``address``."""
        return self._read(self.mmio, address, size)

    def mmio_write(self, address: int, size: int, value: int) -> None:
        """Write ``size`` bytes to guest-physical ``address``."""
        self._write(self.mmio, address, size, value)

    def port_read(self, port: int, size: int) -> int:
        """Read ``size`` bytes from an I/O port."""
        return self._read(self.pio, port, size)

    def port_write(self, port: int, size: int, value: int) -> None:
        """Write ``size`` bytes to an I/O port."""
        self._write(self.pio, port, size, value)

    # On the path of every access: the lock without a context manager and the region from a
    # dictionary make it half as long.

    def _read(self, space: AddressSpace, address: int, size: int) -> int:
        lock = self.lock
        lock.acquire()
        try:
            site = space.sites.get(address) or space.locate(address)
            if site is None:
                self._count_unclaimed(space.name, address)
                result = _ALL_ONES[size]
            else:
                result = site[0].read(site[1], size)
            recent = self._recent
            recent.append((space.name, address, size, result, False))
            if len(recent) > _RECENT_ROOM:
                del recent[:-RECENT_ACCESSES]
            return result
        finally:
            lock.release()

    def _write(self, space: AddressSpace, address: int, size: int, value: int) -> None:
        lock = self.lock
        lock.acquire()
        try:
            recent = self._recent
            recent.append((space.name, address, size, value, True))
            if len(recent) > _RECENT_ROOM:
                del recent[:-RECENT_ACCESSES]
            site = space.sites.get(address) or space.locate(address)
            if site is None:
                self._count_unclaimed(space.name, address)
                return
            site[0].write(site[1], size, value)
        finally:
            lock.release()

    def _count_unclaimed(self, space: str, address: int) -> None:
        site = (space, address)
        if site not in self.unclaimed and len(self.unclaimed) >= MAX_UNCLAIMED_SITES:
            site = (space, -1)
        self.unclaimed[site] = self.unclaimed.get(site, 0) + 1
