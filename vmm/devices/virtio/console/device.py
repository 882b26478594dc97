"""Console device (section 5.3): a console, named ports, or both.

Port 0 is the console. A driver that does not know of several ports has that one and nothing else.
"""

from __future__ import annotations

from struct import Struct

from vmm.devices.virtio.console.control import (
    EVENT_DEVICE_READY,
    EVENT_PORT_OPEN,
    EVENT_PORT_READY,
    MESSAGE,
)
from vmm.devices.virtio.device import CONFIGURATION_CHANGE, VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar, Final

    from vmm.devices.device import Device
    from vmm.devices.virtio.console.port import Port
    from vmm.memory import GuestMemory

F_SIZE: Final = 1 << 0
F_MULTIPORT: Final = 1 << 1
F_EMERG_WRITE: Final = 1 << 2

CONSOLE: Final = 0

# Queues of port 0, of control messages, and where those of the other ports begin (5.3.2).
RECEIVE: Final = 0
TRANSMIT: Final = 1
CONTROL_RECEIVE: Final = 2
CONTROL_TRANSMIT: Final = 3
_FURTHER: Final = 4

_QUEUE_SIZE: Final = 64

# More make no sense to anybody; Linux counts on a page of memory for each of a port's buffers.
MAX_PORTS: Final = 31

# struct virtio_console_config: columns, rows, number of ports, emerg_wr
_CONFIG: Final = Struct("<HHII")
_EMERGENCY_WRITE: Final = 8


class ConsoleDevice(VirtioDevice):
    """A console and named ports.

    Args:
        memory: the guest's RAM.
        ports: from port 0 on; None where there is no port of that number.
    """

    DEVICE_ID: ClassVar[int] = 3
    QUEUE_SIZES: ClassVar[tuple[int, ...]] = (_QUEUE_SIZE, _QUEUE_SIZE)
    INPUTS: ClassVar[tuple[str, ...]] = ("resize",)

    def __init__(self, memory: GuestMemory, ports: Sequence[Port | None]) -> None:
        self._ports = {number: port for number, port in enumerate(ports) if port is not None}
        self._slots = len(ports)
        features = F_SIZE | F_EMERG_WRITE
        queues = self.QUEUE_SIZES
        if len(ports) > 1:
            features |= F_MULTIPORT
            queues *= 1 + len(ports)
        for number, port in self._ports.items():
            self._connect(port, _receive_queue(number))
        super().__init__(memory, features, queues)

    def _connect(self, port: Port, receive: int) -> None:
        port.on_input = lambda: self.kick(receive)
        port.on_output = lambda: self.kick(receive + 1)
        port.on_change = lambda: self.serve(CONTROL_RECEIVE)

    def parts(self) -> tuple[tuple[str, Device], ...]:
        ports = tuple((f"port{number}", port) for number, port in self._ports.items())
        return (*super().parts(), *ports)

    # ---- The host's side ----

    def resize(self, columns: int, rows: int) -> None:
        """Tell the guest of the console's size in characters, 0 to 65535 of either."""
        if CONSOLE not in self._ports:
            return
        self._ports[CONSOLE].resize((columns, rows))
        if self.live and self.features & F_SIZE:
            self.transport.interrupt(CONFIGURATION_CHANGE)
        self.serve(CONTROL_RECEIVE)

    # ---- The driver's ----

    def start(self) -> None:
        super().start()
        if not self._has_many and CONSOLE in self._ports:
            self._ports[CONSOLE].set_open(True)

    def resume(self) -> None:
        self.serve(CONTROL_RECEIVE)
        for port in self._ports.values():
            port.end.on_room()
            port.resume()

    def config(self) -> bytes:
        size = self._ports[CONSOLE].size if CONSOLE in self._ports else (0, 0)
        return _CONFIG.pack(*size, self._slots, 0)

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Write one character, before any driver is ready too (5.3.6.1)."""
        if offset == _EMERGENCY_WRITE and CONSOLE in self._ports:
            self._ports[CONSOLE].end.send(bytes((value & 0xFF,)))

    def handle(self, index: int) -> None:
        if index < CONTROL_RECEIVE:
            self._transfer(CONSOLE, index)
        elif not self._has_many:
            return
        elif index >= _FURTHER:
            self._transfer(1 + (index - _FURTHER) // 2, index)
        elif index == CONTROL_TRANSMIT:
            self._take_messages()
        else:
            self._send_messages()

    @property
    def _has_many(self) -> bool:
        return bool(self.features & F_MULTIPORT)

    # ---- Data ----

    def _transfer(self, number: int, index: int) -> None:
        queue = self.queues[index]
        port = self._ports.get(number)
        if index % 2 == RECEIVE:
            if port is not None:
                port.fill(queue)
        elif port is not None:
            port.transmit(queue)
        else:
            for chain in queue:
                queue.push(chain, 0)
        self.notify(queue)

    # ---- Control messages ----

    def _take_messages(self) -> None:
        queue = self.queues[CONTROL_TRANSMIT]
        for chain in queue:
            message = chain.readable.read(MESSAGE.size)
            queue.push(chain, 0)
            # What is too short to be one says nothing.
            if len(message) == MESSAGE.size:
                self._act(*MESSAGE.unpack(message))
        self.notify(queue)
        self.serve(CONTROL_RECEIVE)

    def _act(self, number: int, event: int, value: int) -> None:
        """Do what a message asks for; those of ports that are not there ask for nothing."""
        if event == EVENT_DEVICE_READY:
            for port in self._ports.values() if value else ():
                port.announce()
            return
        named = self._ports.get(number)
        if named is None:
            return
        if event == EVENT_PORT_READY:
            named.set_ready(value != 0)
        elif event == EVENT_PORT_OPEN:
            named.set_open(value != 0)

    def _send_messages(self) -> None:
        """Tell the driver what it has to know, as far as it gives buffers for it."""
        queue = self.queues[CONTROL_RECEIVE]
        for number, port in self._ports.items():
            while (event := port.owed()) is not None:
                chain = queue.pop()
                if chain is None:
                    self.notify(queue)
                    return
                value, rest = port.tell(event)
                content = MESSAGE.pack(number, event, value) + rest
                queue.push(chain, chain.writable.write(content))
        self.notify(queue)


def _receive_queue(number: int) -> int:
    """Return the queue by which port ``number`` receives; the next one is for transmission."""
    return RECEIVE if number == CONSOLE else _FURTHER + 2 * (number - 1)
