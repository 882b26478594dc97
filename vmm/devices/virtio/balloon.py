"""Memory balloon device (section 5.5): gives RAM that the guest does without back to the host."""

from __future__ import annotations

from struct import Struct, iter_unpack

from vmm.devices.device import internal
from vmm.devices.virtio.device import CONFIGURATION_CHANGE, VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import ClassVar, Final

    from vmm.memory import GuestMemory

INFLATE: Final = 0
DEFLATE: Final = 1

F_DEFLATE_ON_OOM: Final = 1 << 2

# Pages are of this size whatever the guest's own are (5.5.6).
PAGE: Final = 4096

# Page numbers of one chain: drivers send 256; the rest of a longer one is not looked at.
MAX_PAGES: Final = 4096

# struct virtio_balloon_config: num_pages, actual
_CONFIG: Final = Struct("<II")
_ACTUAL: Final = 4


class Balloon(VirtioDevice):
    """A balloon in the guest's RAM.

    Args:
        memory: the guest's RAM, whose pages in the balloon the host gets back.

    Attributes:
        target: how many pages the guest is asked to give.
        actual: how many it says that it has given.
    """

    DEVICE_ID: ClassVar[int] = 5
    QUEUE_SIZES: ClassVar[tuple[int, ...]] = (128, 128)
    INPUTS: ClassVar[tuple[str, ...]] = ("set_target",)

    target = internal(0)
    actual = internal(0)

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        # What the host asks for outlives a reset by the guest.
        self._wanted = 0
        super().__init__(memory, F_DEFLATE_ON_OOM)

    def reset(self) -> None:
        super().reset()
        self.target = self._wanted

    def loaded(self) -> None:
        self._wanted = self.target

    def set_target(self, size: int) -> None:
        """Ask the guest to do without ``size`` bytes. Call with the bus lock held."""
        self.target = self._wanted = min(size, self._memory.size) // PAGE
        if self.live:
            self.transport.interrupt(CONFIGURATION_CHANGE)

    def config(self) -> bytes:
        return _CONFIG.pack(self.target, self.actual)

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Take the number of pages that the guest has given."""
        if offset == _ACTUAL and size == 4:
            self.actual = value

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        for chain in queue:
            if index == INFLATE:
                self._release(chain.readable.read(4 * MAX_PAGES))
            queue.push(chain, 0)
        self.notify(queue)

    def _release(self, numbers: bytes) -> None:
        """Give pages back to the host; read again, they are zeros."""
        whole = numbers[: len(numbers) & ~3]
        for first, count in _runs(sorted({page for (page,) in iter_unpack("<I", whole)})):
            for address, length in self._in_ram(first * PAGE, count * PAGE):
                self._memory.discard(address, length)

    def _in_ram(self, address: int, length: int) -> Iterator[tuple[int, int]]:
        """Cut a range to what is RAM."""
        for region in self._memory.regions:
            start = max(address, region.base)
            end = min(address + length, region.end)
            if start < end:
                yield start, end - start


def _runs(pages: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of adjacent pages in ascending ``pages``."""
    first = count = 0
    for page in pages:
        if count and page == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = page, 1
    if count:
        yield first, count
