"""A virtio device for tests of what all of them share: it answers with what it was sent."""

from __future__ import annotations

from typing import ClassVar

from vmm.devices.device import internal
from vmm.devices.virtio.device import CONFIGURATION_CHANGE, VirtioDevice


class Echo(VirtioDevice):
    """Copies the readable part of each chain to the writable one."""

    DEVICE_ID: ClassVar[int] = 0x2A
    QUEUE_SIZES: ClassVar[tuple[int, ...]] = (16, 64)

    _config = internal(bytearray(b"configuration"))

    def config(self) -> bytes:
        return bytes(self._config)

    def write_config(self, offset: int, size: int, value: int) -> None:
        data = value.to_bytes(size, "little")[: max(len(self._config) - offset, 0)]
        self._config[offset : offset + len(data)] = data

    def change(self, content: bytes) -> None:
        self._config[:] = content
        self.transport.interrupt(CONFIGURATION_CHANGE)

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        for chain in queue:
            views = chain.readable.take(chain.readable.length)
            queue.push(chain, sum([chain.writable.write(view) for view in views]))
        self.notify(queue)
