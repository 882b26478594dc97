"""Console device (section 5.3) with one port."""

from __future__ import annotations

from struct import Struct

from vmm.devices.device import internal
from vmm.devices.virtio.device import VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Final

    from vmm.memory import GuestMemory

F_EMERG_WRITE: Final = 1 << 2

RECEIVE: Final = 0
TRANSMIT: Final = 1

# Input that waits here for the guest's buffers.
INPUT_ROOM: Final = 4096

# Output of one chain, which could be 4 GiB: nothing else runs while it is written. What is longer
# loses its end; drivers send a page at a time.
MAX_OUTPUT: Final = 1 << 20

# struct virtio_console_config: columns, rows, number of ports, emerg_wr
_CONFIG: Final = Struct("<HHII")
_EMERGENCY_WRITE: Final = 8


def _nothing() -> None:
    pass


class ConsoleDevice(VirtioDevice):
    """A console.

    Args:
        memory: the guest's RAM.
        sink: takes what the guest writes.
        on_room: called when there is room for more input.
        on_start: called when a driver is ready.
    """

    DEVICE_ID: ClassVar[int] = 3
    QUEUE_SIZES: ClassVar[tuple[int, ...]] = (64, 64)

    _input = internal(bytearray())

    def __init__(
        self,
        memory: GuestMemory,
        *,
        sink: Callable[[bytes], None],
        on_room: Callable[[], None] = _nothing,
        on_start: Callable[[], None] = _nothing,
    ) -> None:
        self._sink = sink
        self._on_room = on_room
        self._on_start = on_start
        super().__init__(memory, F_EMERG_WRITE)

    # ---- The host's side ----

    def room(self) -> int:
        """Return how many bytes `receive` would accept now; none before a driver is ready."""
        return INPUT_ROOM - len(self._input) if self.live else 0

    def receive(self, data: bytes) -> int:
        """Let the guest receive the front of ``data``; return the number of bytes accepted."""
        accepted = data[: self.room()]
        self._input += accepted
        self.serve(RECEIVE)
        return len(accepted)

    # ---- The driver's ----

    def start(self) -> None:
        super().start()
        self._on_start()

    def config(self) -> bytes:
        return _CONFIG.pack(0, 0, 1, 0)

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Write one character, before any driver is ready too (5.3.6.1)."""
        if offset == _EMERGENCY_WRITE:
            self._sink(bytes((value & 0xFF,)))

    def handle(self, index: int) -> None:
        if index == TRANSMIT:
            self._transmit()
        else:
            self._fill()

    def _transmit(self) -> None:
        queue = self.queues[TRANSMIT]
        for chain in queue:
            self._sink(chain.readable.read(MAX_OUTPUT))
            queue.push(chain, 0)
        self.notify(queue)

    def _fill(self) -> None:
        """Move input into the driver's buffers; there may be input or buffers left over."""
        queue = self.queues[RECEIVE]
        full = len(self._input) == INPUT_ROOM
        while self._input and (chain := queue.pop()) is not None:
            done = chain.writable.write(bytes(self._input))
            del self._input[:done]
            queue.push(chain, done)
        self.notify(queue)
        if full and len(self._input) < INPUT_ROOM:
            self._on_room()
