"""The wire between a UART and the console."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from vmm.bus import Bus
    from vmm.console import Console

    class Receiver(Protocol):
        """A UART's receiving side."""

        def room(self) -> int:
            """Return how many more bytes it can take now."""
            ...

        def receive(self, data: bytes) -> int: ...


class SerialWire:
    """Feeds a UART with the console's input as fast as it has room."""

    def __init__(self, console: Console, bus: Bus) -> None:
        self._console = console
        self._bus = bus
        self._uart: Receiver | None = None

    def connect(self, uart: Receiver) -> None:
        """Connect the UART, once the guest has touched it; from then on it takes the input."""
        self._uart = uart
        self._console.pump_input()
        self.feed()

    @property
    def sink(self) -> Callable[[bytes], None]:
        """Where the UART's output goes."""
        return self._transmit

    def feed(self) -> None:
        """Move input to the UART; called when there is more, and when there is room again."""
        uart = self._uart
        if uart is None:
            return
        with self._bus.lock:
            room = uart.room()
            if room:
                data = self._console.take(room)
                if data:
                    uart.receive(data)

    def _transmit(self, data: bytes) -> None:
        try:
            self._console.write(data)
        except OSError:
            pass  # nobody listens at the host's end: a UART's wire does not tell
