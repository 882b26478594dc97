"""A part of a device's registers that a board places apart from the rest."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.devices.lines import Region


class Window:
    """The registers of ``region`` from ``offset`` on, as a region of its own."""

    def __init__(self, region: Region, offset: int) -> None:
        self._region = region
        self._offset = offset

    def read(self, offset: int, size: int) -> int:
        return self._region.read(self._offset + offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self._region.write(self._offset + offset, size, value)
