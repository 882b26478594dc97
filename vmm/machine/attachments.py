"""The virtio devices that a configuration asks for, with the host's ends of them.

Loaded only where there are any.
"""

from __future__ import annotations

import os

from vmm.errors import UsageError
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from vmm.boards.board import Board
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.machine.config import MachineConfig
    from vmm.memory import GuestMemory

    class Closeable(Protocol):
        """Something that a machine holds."""

        def close(self) -> None: ...


RNG: Final = "rng"
CONSOLE: Final = "console"
PLAIN_DEVICES: Final = (RNG, CONSOLE)


@value
class DiskOption:
    """What ``--disk`` says: ``FILE[,ro][,serial=TEXT]``."""

    path: str
    read_only: bool = False
    serial: str = ""


def parse_disk(text: str) -> DiskOption:
    """Return what ``text`` means; a comma that no known word follows belongs to the name.

    Raises:
        UsageError: if it names no file.
    """
    path, read_only, serial = text, False, ""
    while True:
        front, comma, word = path.rpartition(",")
        if comma and word == "ro":
            read_only = True
        elif comma and word.startswith("serial="):
            serial = word.removeprefix("serial=")
        else:
            break
        path = front
    if not path:
        raise UsageError(f"--disk {text}: write FILE, FILE,ro or FILE,serial=TEXT")
    return DiskOption(path, read_only, serial)


class Attachments:
    """Puts devices on a board; holds what they use of the host until `close`."""

    def __init__(self, board: Board, memory: GuestMemory) -> None:
        self._board = board
        self._memory = memory
        self._held: list[Closeable] = []

    def attach(self, config: MachineConfig) -> None:
        """Attach all that ``config`` asks for.

        Raises:
            UsageError: if one of them cannot be; what was opened by then is held all the same.
        """
        for text in config.disks:
            self._attach_disk(parse_disk(text))
        for name in config.devices:
            self._attach_plain(name)

    def close(self) -> None:
        """Give back what the devices used; the guest no longer runs."""
        for resource in reversed(self._held):
            resource.close()
        self._held.clear()

    def _add(self, device: VirtioDevice) -> None:
        self._board.virtio.add(device)

    def _attach_disk(self, option: DiskOption) -> None:
        from vmm.devices.virtio.block import Block
        from vmm.devices.virtio.disk import Disk

        disk = Disk(option.path, read_only=option.read_only)
        self._held.append(disk)
        self._add(Block(self._memory, disk=disk, serial=option.serial))

    def _attach_plain(self, name: str) -> None:
        if name == RNG:
            from vmm.devices.virtio.rng import Rng

            self._add(Rng(self._memory, source=os.urandom))
        elif name == CONSOLE:
            self._attach_console()
        else:
            known = ", ".join(PLAIN_DEVICES)
            raise UsageError(f"--device {name}: no such device; there are {known}")

    def _attach_console(self) -> None:
        from vmm.devices.virtio.console import ConsoleDevice

        wire = self._board.wire
        device = ConsoleDevice(
            self._memory,
            sink=wire.sink,
            on_room=wire.feed,
            on_start=lambda: wire.connect(device),
        )
        self._add(device)
