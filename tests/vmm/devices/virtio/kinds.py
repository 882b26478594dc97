"""Every kind of virtio device, with something real behind it, for tests that are about all."""

from __future__ import annotations

from collections.abc import Callable

from tests.vmm.devices.virtio.echo import Echo
from vmm.devices.virtio.device import VirtioDevice
from vmm.memory import GuestMemory

Make = Callable[[GuestMemory], VirtioDevice]

KINDS: tuple[Make, ...] = (Echo,)
