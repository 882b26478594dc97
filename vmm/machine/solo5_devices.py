"""The devices that a Solo5 unikernel asks for by name, with the files and TAPs that the user gave.

``--disk NAME=FILE[,ro][,block-size=BYTES]``, ``--net NAME=TAP[,mac=M][,address=A][,bridge=B]``.
"""

from __future__ import annotations

import os

from vmm.devices.virtio.disk import Disk
from vmm.devices.virtio.net import MAX_FRAME
from vmm.devices.virtio.tap import configure, open_tap
from vmm.errors import UsageError
from vmm.images.solo5_notes import BLOCK, NETWORK, TYPES, BlockProperties, NetworkProperties
from vmm.machine.device_options import parse_disk, parse_net

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, Protocol

    from vmm.hypercall.solo5 import Hypercalls
    from vmm.images.solo5_notes import DeviceRequest
    from vmm.machine.config import MachineConfig

    class Closeable(Protocol):
        """Something of the host's."""

        def close(self) -> None: ...


MIN_BLOCK_SIZE: Final = 512
MAX_BLOCK_SIZE: Final = 1 << 15  # the greatest power of two in 16 bits

_OPTIONS: Final = {BLOCK: "--disk NAME=FILE", NETWORK: "--net NAME=TAP"}
_BLOCK_SIZE_WORD: Final = "block-size="
_INTERFACES: Final = "/sys/class/net"


class Solo5Disk:
    """A file as a block device of Solo5."""

    def __init__(self, path: str, block_size: int, *, read_only: bool) -> None:
        """Open ``path``.

        Raises:
            UsageError: if it cannot be, or is not whole blocks.
        """
        self._disk = Disk(path, read_only=read_only)
        self.capacity = os.stat(path).st_size or self._disk.sectors * MIN_BLOCK_SIZE
        self.properties = BlockProperties(self.capacity, block_size)
        self.read = self._disk.read
        self.write = self._disk.write
        if not self.capacity or self.capacity % block_size:
            self.close()
            raise UsageError(
                f"disk {path}: its {self.capacity} bytes are not whole blocks of {block_size}"
            )

    def close(self) -> None:
        """Close the file."""
        self._disk.close()


class Solo5Network:
    """A TAP interface as a network device of Solo5.

    Attributes:
        descriptor: can be read when there is a frame.
        properties: what the unikernel is told.
    """

    def __init__(self, tap: str, mac: bytes) -> None:
        """Attach to the interface ``tap``.

        Raises:
            UsageError: if that cannot be.
        """
        self.descriptor = open_tap(tap, headers=False)
        try:
            with open(f"{_INTERFACES}/{tap}/mtu") as file:
                self.properties = NetworkProperties(mac, int(file.read()))
        except OSError as error:
            self.close()
            raise UsageError(f"tap {tap}: its MTU cannot be read: {error.strerror}") from None

    def receive(self, target: memoryview) -> int:
        """Put the next frame into ``target`` and return its length; 0 if there is none."""
        try:
            return os.readv(self.descriptor, [target])
        except OSError:
            return 0

    def send(self, frame: memoryview) -> None:
        """Send ``frame``; it is lost if the interface is down, gone, or its queue is full."""
        try:
            os.write(self.descriptor, frame[:MAX_FRAME])
        except OSError:
            pass

    def close(self) -> None:
        """Detach from the interface; harmless when detached."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Solo5Devices:
    """Opens what the user gave for what the manifest asks; holds it until `close`."""

    def __init__(self) -> None:
        self._held: list[Closeable] = []

    def attach(
        self, config: MachineConfig, devices: list[DeviceRequest | None], calls: Hypercalls
    ) -> None:
        """Attach all devices of the manifest.

        Raises:
            UsageError: if one was not given, or more was given than is asked for.
        """
        if config.shares or config.vsocks or config.ports or config.devices:
            raise UsageError("a Solo5 unikernel has --disk and --net only")
        given = {
            BLOCK: _by_name(BLOCK, config.disks, devices),
            NETWORK: _by_name(NETWORK, config.nets, devices),
        }
        for handle, device in enumerate(devices):
            if device is None:
                continue
            content = given[device.type].get(device.name)
            if content is None:
                raise UsageError(
                    f"the unikernel asks for the {TYPES[device.type]} device {device.name!r}: give"
                    f" it one with {_OPTIONS[device.type].replace('NAME', device.name)}"
                )
            if device.type == BLOCK:
                disk = calls.disks[handle] = _open_disk(device.name, content)
                self._held.append(disk)
            else:
                network = calls.networks[handle] = _open_network(content)
                self._held.append(network)

    def close(self) -> None:
        """Give back what the devices used."""
        for resource in self._held:
            resource.close()
        self._held.clear()


def _by_name(
    kind: int, options: Sequence[str], devices: list[DeviceRequest | None]
) -> dict[str, str]:
    """Return what the options of a kind say, by the names of devices."""
    names = [device.name for device in devices if device is not None and device.type == kind]
    option = _OPTIONS[kind]
    found: dict[str, str] = {}
    for text in options:
        name, equals, content = text.partition("=")
        if not equals or not content:
            raise UsageError(f"{option.split()[0]} {text}: for a Solo5 unikernel write {option}")
        if name not in names:
            asked = ", ".join(names) or "none"
            raise UsageError(
                f"{option.split()[0]} {text}: the unikernel asks for no {TYPES[kind]} device"
                f" {name!r}, but for: {asked}"
            )
        if name in found:
            raise UsageError(f"{option.split()[0]} {text}: the device {name!r} has been given one")
        found[name] = content
    return found


def _open_disk(name: str, content: str) -> Solo5Disk:
    block_size = MIN_BLOCK_SIZE
    front, comma, word = content.rpartition(",")
    if comma and word.startswith(_BLOCK_SIZE_WORD):
        digits = word.removeprefix(_BLOCK_SIZE_WORD)
        block_size = int(digits) if digits.isascii() and digits.isdigit() else 0
        if not MIN_BLOCK_SIZE <= block_size <= MAX_BLOCK_SIZE or block_size & (block_size - 1):
            raise UsageError(
                f"--disk {name}={content}: a block size is a power of two from {MIN_BLOCK_SIZE}"
                f" to {MAX_BLOCK_SIZE}"
            )
        content = front
    option = parse_disk(content)
    return Solo5Disk(option.path, block_size, read_only=option.read_only)


def _open_network(content: str) -> Solo5Network:
    option = parse_net(content if content.startswith("tap=") else f"tap={content}")
    network = Solo5Network(option.tap, option.mac)
    if option.address or option.bridge:
        configure(option.tap, option.address, option.bridge)
    return network
