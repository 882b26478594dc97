"""Every kind of virtio device, over either layout of virtqueues, with something real behind it.

For tests that are about all of them.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable

from tests.vmm.devices.virtio.echo import Echo
from vmm.devices.virtio.balloon import Balloon
from vmm.devices.virtio.block import Block
from vmm.devices.virtio.chain import copy_to
from vmm.devices.virtio.console.device import ConsoleDevice
from vmm.devices.virtio.console.port import Port
from vmm.devices.virtio.device import F_RING_PACKED, VirtioDevice
from vmm.devices.virtio.disk import Disk
from vmm.devices.virtio.net import OFFLOADS, NetDevice
from vmm.devices.virtio.p9.device import P9Device
from vmm.devices.virtio.p9.share import Share
from vmm.devices.virtio.rng import Rng
from vmm.devices.virtio.vsock.device import VsockDevice
from vmm.machine.events import Watch
from vmm.memory import GuestMemory

Make = Callable[[GuestMemory], VirtioDevice]


def rng(memory: GuestMemory) -> Rng:
    return Rng(memory, source=bytes)


# One for all, as nothing here depends on what is on it.
with tempfile.NamedTemporaryFile() as _file:
    os.truncate(_file.name, 1 << 20)
    DISK = Disk(_file.name)


def block(memory: GuestMemory) -> Block:
    return Block(memory, disk=DISK)


class Reader:
    """The host's end of a port: somebody who reads everything, and writes as much as it can."""

    connected = True
    port: Port | None = None

    def send(self, data: bytes) -> int:
        return len(data)

    def on_room(self) -> None:
        if self.port is not None:
            self.port.receive(bytes(self.port.room() // 2))

    def on_told(self) -> None:
        pass


def port(name: str = "") -> Port:
    end = Reader()
    end.port = Port(end, name)
    return end.port


def console(memory: GuestMemory) -> ConsoleDevice:
    return ConsoleDevice(memory, [port(), port("first"), None, port("third")])


class Flood:
    """A network that always has one more frame."""

    offloads = OFFLOADS

    def send(self, frame: list[memoryview]) -> None:
        pass

    def receive(self, room: list[memoryview]) -> int:
        return copy_to(room, bytes(300))

    def set_offloads(self, features: int) -> None:
        pass

    def wait(self) -> None:
        pass


def net(memory: GuestMemory) -> NetDevice:
    return NetDevice(memory, link=Flood(), mac=bytes(6))


# Read-only: what one device made there, another would find.
with tempfile.TemporaryDirectory() as _directory:
    SHARE = Share(_directory)


def p9(memory: GuestMemory) -> P9Device:
    return P9Device(memory, share=SHARE, tag="tag")


class Nobody:
    """A host on which nobody listens."""

    def connect(self, port: int) -> socket.socket:
        raise ConnectionRefusedError

    def watch(self, connection: socket.socket, callback: Callable[[], None]) -> Watch:
        raise NotImplementedError


def vsock(memory: GuestMemory) -> VsockDevice:
    return VsockDevice(memory, cid=3, host=Nobody())


def packed(make: Make) -> Make:
    """Return what makes the same device, offering packed virtqueues."""

    def make_packed(memory: GuestMemory) -> VirtioDevice:
        device = make(memory)
        device.offered |= F_RING_PACKED
        return device

    make_packed.__name__ = f"{make.__name__}, packed"
    return make_packed


_SPLIT: tuple[Make, ...] = (Echo, rng, block, console, net, p9, vsock, Balloon)

KINDS: tuple[Make, ...] = (*_SPLIT, *map(packed, _SPLIT))
