"""Every kind of virtio device, with something real behind it, for tests that are about all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

from tests.vmm.devices.virtio.echo import Echo
from vmm.devices.virtio.block import Block
from vmm.devices.virtio.device import VirtioDevice
from vmm.devices.virtio.disk import Disk
from vmm.devices.virtio.rng import Rng
from vmm.memory import GuestMemory

Make = Callable[[GuestMemory], VirtioDevice]


def rng(memory: GuestMemory) -> Rng:
    return Rng(memory, source=bytes)


def block(memory: GuestMemory) -> Block:
    with tempfile.NamedTemporaryFile() as file:
        os.truncate(file.name, 1 << 20)
        return Block(memory, disk=Disk(file.name))


KINDS: tuple[Make, ...] = (Echo, rng, block)
