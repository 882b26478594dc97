"""Devices that come into being at the first access.

A board has many devices and most guests touch few of them. Building one means importing its
module; a guest that never looks at a device must not pay for that at every start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm.lines import Region


class LazyRegion:
    """A region that is built when it is first accessed, and steps aside then."""

    def __init__(self, build: Callable[[], Region]) -> None:
        self._build = build
        self._built: Region | None = None

    def read(self, offset: int, size: int) -> int:
        return self.region.read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self.region.write(offset, size, value)

    @property
    def region(self) -> Region:
        """The region, built by now."""
        region = self._built
        if region is None:
            region = self._built = self._build()
            # Later accesses find the device's methods on this object and go straight to them.
            self.read = region.read  # type: ignore[method-assign]
            self.write = region.write  # type: ignore[method-assign]
        return region
