"""The devices that a configuration adds to a board, with the host's ends of them.

Loaded only where there are any.
"""

from __future__ import annotations

import os

from vmm.errors import UsageError
from vmm.machine.device_options import (
    parse_disk,
    parse_net,
    parse_port,
    parse_root,
    parse_share,
    parse_vsock,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

    from vmm.backends.api import VirtualMachine
    from vmm.boards.board import Board
    from vmm.devices.peripheral import Peripheral
    from vmm.devices.virtio.balloon import Balloon
    from vmm.devices.virtio.block import Block
    from vmm.devices.virtio.console.device import ConsoleDevice
    from vmm.devices.virtio.console.host import LineEnd, SocketEnd
    from vmm.devices.virtio.console.port import Port
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.devices.virtio.passt import Passt
    from vmm.devices.virtio.tap import Tap
    from vmm.machine.config import MachineConfig
    from vmm.machine.device_options import (
        DiskOption,
        NetOption,
        PortOption,
        ShareOption,
        VsockOption,
    )
    from vmm.machine.events import EventLoop, Lock
    from vmm.memory import GuestMemory
    from vmm.trace.recorder import Recorder

    _Virtio = TypeVar("_Virtio", bound=VirtioDevice)
    _Options = ParamSpec("_Options")

    class Closeable(Protocol):
        """Something that a machine holds."""

        def close(self) -> None: ...


RNG: Final = "rng"
CONSOLE: Final = "console"
BALLOON: Final = "balloon"
PLAIN_DEVICES: Final = (RNG, CONSOLE, BALLOON)


class Attachments:
    """Puts devices on a board; holds what they use of the host until `close`.

    Args:
        board: the board.
        memory: the guest's RAM.
        lock: the bus's.
        notifier: takes the kicks of virtio queues from the vCPU; None: they come by the bus.
        recorder: makes the devices instead, such that it can record them.

    Attributes:
        balloon: the balloon, if there is one.
        console: the virtio console, if there is one.
    """

    def __init__(
        self,
        board: Board,
        memory: GuestMemory,
        lock: Lock,
        notifier: VirtualMachine | None,
        recorder: Recorder | None = None,
    ) -> None:
        self._board = board
        self._notifier = notifier
        self._recorder = recorder
        self._memory = memory
        self._lock = lock
        self.balloon: Balloon | None = None
        self.console: ConsoleDevice | None = None
        self._held: list[Closeable] = []
        self._disks: list[tuple[str, Block]] = []
        self._loop: EventLoop | None = None

    def attach(self, config: MachineConfig) -> None:
        """Attach all that ``config`` asks for.

        Raises:
            UsageError: if one of them cannot be; what was opened by then is held all the same.
        """
        for text in config.disks:
            self._attach_disk(parse_disk(text))
        for text in config.nets:
            self._attach_net(parse_net(text))
        shares = [parse_share(text) for text in config.shares]
        if config.root:
            shares.insert(0, parse_root(config.root))
        for number, share in enumerate(shares):
            if any(share.tag == other.tag for other in shares[:number]):
                raise UsageError(f"two directories are shared as {share.tag}")
            self._attach_share(share)
        for text in config.vsocks:
            self._attach_vsock(parse_vsock(text))
        ports = config.ports
        if ports and CONSOLE not in config.devices:
            self._attach_console(ports, console=False)
        for device in config.devices:
            if device == CONSOLE:
                self._attach_console(ports, console=True)
                ports = ()
            else:
                self._attach_device(device)

    def complaints(self) -> list[str]:
        """Return a line for each disk on which the host could not do what the guest asked for."""
        return [
            f"disk {path}: {device.failure}: the guest was given an I/O error"
            for path, device in self._disks
            if device.failure
        ]

    def close(self) -> None:
        """Give back what the devices used; the guest no longer runs."""
        if self._recorder is not None:
            self._recorder.end()
        if self._loop is not None:
            self._loop.close()
        for resource in reversed(self._held):
            resource.close()
        self._held.clear()

    def _make(
        self,
        kind: Callable[Concatenate[GuestMemory, _Options], _Virtio],
        *none: _Options.args,
        **options: _Options.kwargs,
    ) -> _Virtio:
        if self._recorder is not None:
            return self._recorder.make(kind, self._memory, options)
        return kind(self._memory, *none, **options)

    def _add(self, device: VirtioDevice) -> None:
        self._board.slots.add_virtio(device)

    def _attach_disk(self, option: DiskOption) -> None:
        from vmm.devices.virtio.block import Block
        from vmm.devices.virtio.disk import Disk

        disk = Disk(option.path, read_only=option.read_only)
        self._held.append(disk)
        device = self._make(Block, disk=disk, serial=option.serial)
        self._disks.append((option.path, device))
        place = self._board.slots.add_virtio(device)
        if option.worker and self._notifier is not None:
            from vmm.machine.kicks import Kicks

            queues = range(len(device.queues))
            self._held.append(Kicks(device, queues, self._events, self._notifier, place.base))

    def _attach_net(self, option: NetOption) -> None:
        from vmm.devices.virtio.net import TRANSMIT, NetDevice
        from vmm.machine.kicks import Kicks

        link = self._open_tap(option) if option.tap else self._start_passt(option)
        self._held.append(link)
        device = self._make(NetDevice, link=link, mac=option.mac)
        link.on_frame = device.on_frame
        place = self._board.slots.add_virtio(device)
        if self._recorder is None:
            # While a worker sends, the guest's TCP gathers what comes next into longer segments.
            # (In a replay, nobody but the vCPU has queues served.)
            kicks = Kicks(device, [TRANSMIT], self._events, self._notifier, place.base)
            self._held.append(kicks)

    def _open_tap(self, option: NetOption) -> Tap:
        from vmm.devices.virtio.tap import Tap, configure

        tap = Tap(option.tap, self._events)
        if option.address or option.bridge:
            try:
                configure(option.tap, option.address, option.bridge)
            except UsageError:
                tap.close()
                raise
        return tap

    def _start_passt(self, option: NetOption) -> Passt:
        from vmm.devices.virtio.passt import Passt

        return Passt(self._events, option.ports)

    def _attach_share(self, option: ShareOption) -> None:
        from vmm.devices.virtio.p9.device import P9Device
        from vmm.devices.virtio.p9.share import Share

        share = Share(option.directory, writable=option.writable)
        self._held.append(share)
        device = self._make(P9Device, share=share, tag=option.tag)
        self._held.append(device)
        self._add(device)

    def _attach_vsock(self, option: VsockOption) -> None:
        from vmm.devices.virtio.vsock.device import VsockDevice
        from vmm.devices.virtio.vsock.host import VsockHost

        host = VsockHost(option.path, self._events)
        self._held.append(host)
        device = self._make(VsockDevice, cid=option.cid, host=host)
        self._held.append(device)
        host.on_connect = device.on_connect
        self._add(device)

    @property
    def events(self) -> EventLoop | None:
        """Who waits for descriptors of the host; None if no device has any."""
        return self._loop

    @property
    def _events(self) -> EventLoop:
        if self._loop is None:
            from vmm.machine.events import EventLoop

            self._loop = EventLoop(self._lock)
        return self._loop

    def _attach_device(self, device: str | Peripheral) -> None:
        if not isinstance(device, str):
            memory = self._memory
            if self._recorder is not None:
                memory = self._recorder.memory_for(device, memory)
            self._board.slots.add_peripheral(device, memory)
        elif ":" in device:
            from vmm.machine.plugin import load_device

            self._attach_device(load_device(device))
        else:
            self._attach_plain(device)

    def _attach_plain(self, name: str) -> None:
        if name == RNG:
            from vmm.devices.virtio.rng import Rng

            self._add(self._make(Rng, source=os.urandom))
        elif name == BALLOON:
            from vmm.devices.virtio.balloon import Balloon

            self.balloon = self._make(Balloon)
            self._add(self.balloon)
        else:
            known = ", ".join(PLAIN_DEVICES)
            raise UsageError(
                f"--device {name}: no such device; there are {known}, and your own as MODULE:CLASS"
            )

    def _attach_console(self, ports: Sequence[str], *, console: bool) -> None:
        """Attach a console, named ports, or both as one device."""
        from vmm.devices.virtio.console.device import MAX_PORTS, ConsoleDevice

        options = [parse_port(text) for text in ports]
        if len({option.name for option in options}) < len(options):
            raise UsageError("two ports have the same name")
        if len(options) >= MAX_PORTS:
            raise UsageError(f"a console has no more than {MAX_PORTS - 1} named ports")
        first = self._make_console() if console else None
        made = [first, *map(self._open_port, options)]
        device = self._make(ConsoleDevice, ports=made)
        self._add(device)
        if console:
            self.console = device

    def _make_console(self) -> Port:
        from vmm.devices.virtio.console.host import ConsoleEnd
        from vmm.devices.virtio.console.port import Port

        end = ConsoleEnd(self._board.wire)
        port = Port(end)
        end.attach(port)
        return port

    def _open_port(self, option: PortOption) -> Port:
        from vmm.devices.virtio.console.host import FileEnd, SocketEnd, open_descriptor
        from vmm.devices.virtio.console.port import Port

        if option.kind == "file":
            file = FileEnd(option.path)
            self._held.append(file)
            return Port(file, option.name)
        end: LineEnd | SocketEnd
        if option.kind == "fd":
            end = open_descriptor(option.fd, self._events)
        else:
            end = SocketEnd(option.path, self._events)
        self._held.append(end)
        port = Port(end, option.name)
        end.attach(port)
        return port
