"""One port of a console device: bytes both ways, and never more than a bound of them waiting."""

from __future__ import annotations

from vmm.devices.device import Device, internal
from vmm.devices.virtio.console.control import (
    EVENT_CONSOLE_PORT,
    EVENT_PORT_ADD,
    EVENT_PORT_NAME,
    EVENT_PORT_OPEN,
    EVENT_RESIZE,
    SIZE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Final, Protocol

    from vmm.devices.virtio.queue import Queue

    class End(Protocol):
        """The host's end of a port. No call raises.

        Attributes:
            connected: somebody is there to read and write.
        """

        @property
        def connected(self) -> bool: ...

        def send(self, data: bytes) -> int:
            """Take the front of ``data``; return how many bytes.

            Where that is not all, `Port.resume` is called when there is room for more.
            """
            ...

        def on_room(self) -> None:
            """There is room for input, maybe: the guest has opened the port, or has read."""
            ...

        def on_told(self) -> None:
            """The guest has nothing more to learn of whether anybody is connected."""
            ...


# Input that waits here for the guest's buffers.
INPUT_ROOM: Final = 4096

# Output of one chain, which could be 4 GiB: nothing else runs while it is written. What is longer
# loses its end; drivers send a page at a time.
MAX_OUTPUT: Final = 1 << 20

# The events that a driver is told of, in the order in which it needs them.
_ORDER: Final = (
    EVENT_PORT_ADD,
    EVENT_CONSOLE_PORT,
    EVENT_PORT_NAME,
    EVENT_PORT_OPEN,
    EVENT_RESIZE,
)


def _nothing() -> None:
    pass


class Port(Device):
    """A port.

    What the driver is to be told of it is a set of events, each there once: a driver that asks
    without end and gives no buffers for the answers takes no memory of the host.

    Args:
        end: the host's end.
        name: by which programs of the guest find it; "" for a console.

    Attributes:
        end: the host's end.
        name: its name.
        size: columns and rows of a console; (0, 0): nobody knows.
        opened: a program of the guest has it open.
        ready: the driver has set it up.
        on_input: called when there is input for the guest; set by the device.
        on_output: called when output can go on; set by the device.
        on_change: called when the driver has to be told something; set by the device.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("receive", "resume", "changed")

    opened = internal(False)
    ready = internal(False)
    _owed = internal(0)
    _told = internal(False)
    _input = internal(bytearray())
    _output = internal(b"")

    def __init__(self, end: End, name: str = "") -> None:
        self.end = end
        self.name = name
        self.size = (0, 0)
        self.on_input: Callable[[], object] = _nothing
        self.on_output: Callable[[], object] = _nothing
        self.on_change: Callable[[], object] = _nothing
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.end.on_told()

    # ---- What the host's end calls ----

    def room(self) -> int:
        """Return how many bytes `receive` would accept now; none before the guest opens it."""
        return INPUT_ROOM - len(self._input) if self.opened else 0

    def receive(self, data: bytes) -> int:
        """Let the guest receive the front of ``data``; return the number of bytes accepted."""
        accepted = data[: self.room()]
        self._input += accepted
        self.on_input()
        return len(accepted)

    def resume(self) -> None:
        """Go on with output: the end has room."""
        self.on_output()

    def changed(self) -> None:
        """Tell the guest that somebody has connected, or has gone."""
        if not self._differs():
            self.end.on_told()
        elif self._owes_connection():
            self.on_change()

    # ---- What the device calls ----

    def set_open(self, opened: bool) -> None:
        """A program of the guest has opened or closed it; what nobody reads any more is lost."""
        self.opened = opened
        if opened:
            self.end.on_room()
        else:
            self._input.clear()
            self.on_change()

    def announce(self) -> None:
        """The driver is to be told that there is such a port."""
        self._owe(EVENT_PORT_ADD)

    def set_ready(self, ready: bool) -> None:
        """The driver has set it up, or has failed to."""
        self.ready = ready
        self._told = False
        self._owed = 0
        if not ready:
            return
        self._owe(EVENT_PORT_NAME if self.name else EVENT_CONSOLE_PORT)
        if self.size != (0, 0):
            self._owe(EVENT_RESIZE)

    def resize(self, size: tuple[int, int]) -> None:
        """Take over the console's size."""
        self.size = size
        if self.ready:
            self._owe(EVENT_RESIZE)

    def owed(self) -> int | None:
        """Return the next event that the driver has to be told of, or None."""
        for event in _ORDER:
            if self._owed & 1 << event or (event == EVENT_PORT_OPEN and self._owes_connection()):
                return event
        return None

    def tell(self, event: int) -> tuple[int, bytes]:
        """Return the value of the message of ``event``, which the driver gets now, and its end."""
        self._owed &= ~(1 << event)
        if event == EVENT_PORT_OPEN:
            self._told = self.end.connected
            self.end.on_told()
            return int(self._told), b""
        if event == EVENT_PORT_NAME:
            return 1, self.name.encode()
        if event == EVENT_RESIZE:
            return 0, SIZE.pack(*self.size)
        return 1, b""

    def transmit(self, queue: Queue) -> None:
        """Give output to the host's end, as far as that takes it."""
        if not self._flush():
            return
        for chain in queue:
            self._output = chain.readable.read(MAX_OUTPUT)
            queue.push(chain, 0)
            if not self._flush():
                return

    def fill(self, queue: Queue) -> None:
        """Move input into the driver's buffers; there may be input or buffers left over."""
        full = len(self._input) == INPUT_ROOM
        for chain in queue if self._input else ():
            done = chain.writable.write(bytes(self._input))
            del self._input[:done]
            queue.push(chain, done)
            if not self._input:
                break
        if full and len(self._input) < INPUT_ROOM:
            self.end.on_room()
        if self._owes_connection():
            self.on_change()

    def _flush(self) -> bool:
        """Give away what is left of a chain; tell whether that is all."""
        if self._output:
            self._output = self._output[self.end.send(self._output) :]
        return not self._output

    def _owe(self, event: int) -> None:
        self._owed |= 1 << event

    def _differs(self) -> bool:
        """Tell whether the guest was told otherwise of who is connected."""
        return self.ready and self.end.connected != self._told

    def _owes_connection(self) -> bool:
        """Tell whether it has to be told now: of an end, when it has got what was sent before."""
        return self._differs() and (self.end.connected or not self._input)
