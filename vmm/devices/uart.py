"""What serial ports have in common: the host's side."""

from __future__ import annotations

from vmm.devices.device import OutputPin
from vmm.devices.registers import RegisterDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Final

    from vmm.lines import InterruptLine

_BYTES: Final = [bytes((byte,)) for byte in range(256)]


def _nothing() -> None:
    pass


class Uart(RegisterDevice):
    """A serial port that takes no time for a character; its arguments are those of its kinds."""

    INPUTS: ClassVar[tuple[str, ...]] = ("receive", "receive_break", "set_modem_inputs")
    ENDS: ClassVar[tuple[str, ...]] = ("sink", "on_room")

    def __init__(
        self,
        *,
        irq: InterruptLine,
        sink: Callable[[bytes], None],
        on_room: Callable[[], None] = _nothing,
        stride: int = 1,
    ) -> None:
        self.irq = OutputPin(irq)
        self.sink = sink
        self.on_room = on_room
        super().__init__(stride=stride)

    def room(self) -> int:
        """Return how many bytes `receive` would accept now: none in loopback, where it is cut."""
        raise NotImplementedError

    def receive(self, data: bytes) -> int:
        """Let the guest receive the front of ``data``; return the number of bytes accepted."""
        accepted = data[: max(self.room(), 0)]
        for byte in accepted:
            self._push(byte)
        return len(accepted)

    def receive_break(self) -> None:
        """Let the guest see a break: a zero character marked as one, lost if there is no room."""
        raise NotImplementedError

    def set_modem_inputs(self, *, cts: bool, dsr: bool, ri: bool, dcd: bool) -> None:
        """Drive the modem's status lines; all of them are asserted (but RI) after a reset."""
        raise NotImplementedError

    def loaded(self) -> None:
        self._update_irq()

    def _send(self, byte: int) -> None:
        self.sink(_BYTES[byte])

    def _push(self, character: int) -> None:
        """Put a character, with the device's marks of what is wrong with it, into the receiver."""
        raise NotImplementedError

    def _update_irq(self) -> None:
        raise NotImplementedError
