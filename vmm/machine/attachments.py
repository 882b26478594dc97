"""The devices that a configuration adds to a board, with the host's ends of them.

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
    from vmm.devices.lines import Clock
    from vmm.devices.peripheral import Peripheral
    from vmm.devices.virtio.balloon import Balloon
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.devices.virtio.passt import Passt
    from vmm.devices.virtio.tap import Tap
    from vmm.machine.config import MachineConfig
    from vmm.machine.events import EventLoop, Lock
    from vmm.memory import GuestMemory

    class Closeable(Protocol):
        """Something that a machine holds."""

        def close(self) -> None: ...


USER_NET: Final = "user"

RNG: Final = "rng"
CONSOLE: Final = "console"
BALLOON: Final = "balloon"
PLAIN_DEVICES: Final = (RNG, CONSOLE, BALLOON)

# Addresses of guests (virtio 1.2, 5.10.4).
MIN_CID: Final = 3
MAX_CID: Final = 0xFFFF_FFFF

# The tag of the root file system, and what tells Calypso's kernel of it.
ROOT_TAG: Final = "root"
ROOT_WORDS: Final = f"rootfstype=9p root={ROOT_TAG}"

# Longer tags do not fit the configuration space; guests take no longer ones than this.
MAX_TAG: Final = 31


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


@value
class VsockOption:
    """What ``--vsock`` says: ``CID=PATH``."""

    cid: int
    path: str


def parse_vsock(text: str) -> VsockOption:
    """Return what ``text`` means.

    Raises:
        UsageError: if it has no address that a guest can have, or no path.
    """
    number, _, path = text.partition("=")
    cid = int(number) if number.isascii() and number.isdigit() else 0
    if not path or not MIN_CID <= cid < MAX_CID:
        raise UsageError(f"--vsock {text}: write CID=PATH, with a number from {MIN_CID} on")
    return VsockOption(cid, path)


@value
class ShareOption:
    """What ``--share`` says: ``DIR:TAG[:rw]``."""

    directory: str
    tag: str
    writable: bool = False


def parse_share(text: str) -> ShareOption:
    """Return what ``text`` means; colons before the tag belong to the directory's name.

    Raises:
        UsageError: if it names no directory or no tag.
    """
    front, colon, last = text.rpartition(":")
    writable = colon != "" and last in ("rw", "ro")
    directory, _, tag = (front if writable else text).rpartition(":")
    if not directory or not 0 < len(tag.encode()) <= MAX_TAG:
        raise UsageError(f"--share {text}: write DIR:TAG, or DIR:TAG:rw to let the guest write")
    return ShareOption(directory, tag, writable and last == "rw")


def parse_root(text: str) -> ShareOption:
    """Return what ``--root`` means: ``DIR[:rw]``.

    Raises:
        UsageError: if it names no directory.
    """
    directory = text.removesuffix(":rw").removesuffix(":ro")
    if not directory:
        raise UsageError(f"--root {text}: write DIR, or DIR:rw to let the guest write")
    return ShareOption(directory, ROOT_TAG, text.endswith(":rw"))


@value
class NetOption:
    """What ``--net`` says: ``tap=NAME[,mac=MAC][,address=IP/LENGTH][,bridge=NAME]``.

    Or ``user[,mac=MAC][,tcp=PORT[:PORT]][,udp=PORT[:PORT]]``; then ``tap`` is "", and ``ports`` are
    those of the host that lead to ports of the guest, as options of passt.
    """

    tap: str
    mac: bytes
    address: str = ""
    bridge: str = ""
    ports: tuple[str, ...] = ()


def parse_net(text: str) -> NetOption:
    """Return what ``text`` means; without one, the MAC address follows from the TAP's name.

    Raises:
        UsageError: if it means nothing.
    """
    front, _, rest = text.partition(",")
    if front == USER_NET:
        return _parse_user_net(text, rest)
    words = _parse_words(text, "--net", ("tap", "mac", "address", "bridge"))
    tap = words.get("tap", "")
    if not tap:
        raise UsageError(f"--net {text}: write tap=NAME or user")
    address = words.get("address", "")
    length = address.rpartition("/")[2] if "/" in address else ""
    if address and not (length.isascii() and length.isdigit()):
        raise UsageError(f"--net {text}: write the address as 192.0.2.1/24")
    mac = _parse_mac(text, words["mac"]) if "mac" in words else _mac_of(tap)
    return NetOption(tap, mac, address, words.get("bridge", ""))


def _parse_user_net(text: str, rest: str) -> NetOption:
    words = _parse_words(rest, "--net user,", ("mac", "tcp", "udp")) if rest else {}
    mac = _parse_mac(text, words["mac"]) if "mac" in words else _mac_of(USER_NET)
    ports: list[str] = []
    for protocol in ("tcp", "udp"):
        if protocol in words:
            numbers = words[protocol].split(":")
            if len(numbers) > 2 or not all(_is_port(number) for number in numbers):
                raise UsageError(f"--net {text}: write {protocol}=PORT or {protocol}=PORT:PORT")
            ports += [f"--{protocol}-ports", words[protocol]]
    return NetOption("", mac, ports=tuple(ports))


def _is_port(number: str) -> bool:
    return number.isascii() and number.isdigit() and 0 < int(number) < 1 << 16


def _parse_words(text: str, option: str, known: tuple[str, ...]) -> dict[str, str]:
    words = {}
    for word in text.split(","):
        name, equals, content = word.partition("=")
        if not equals or name not in known:
            raise UsageError(
                f"{option} {text}: {word!r} is not one of {', '.join(k + '=' for k in known)}"
            )
        words[name] = content
    return words


def _parse_mac(text: str, mac: str) -> bytes:
    try:
        address = bytes.fromhex(mac.replace(":", ""))
    except ValueError:
        address = b""
    if len(address) != 6 or len(mac) != 17 or address[0] & 1:
        raise UsageError(f"--net {text}: {mac!r} is not the MAC address of an interface")
    return address


def _mac_of(name: str) -> bytes:
    """Return an address of the locally administered kind that is the same at every start."""
    from zlib import crc32

    return b"\x02\x00" + crc32(name.encode()).to_bytes(4, "big")


class Attachments:
    """Puts devices on a board; holds what they use of the host until `close`.

    Attributes:
        balloon: the balloon, if there is one.
    """

    def __init__(self, board: Board, memory: GuestMemory, clock: Clock, lock: Lock) -> None:
        self._board = board
        self._clock = clock
        self._memory = memory
        self._lock = lock
        self.balloon: Balloon | None = None
        self._held: list[Closeable] = []
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
        for device in config.devices:
            self._attach_device(device)

    def close(self) -> None:
        """Give back what the devices used; the guest no longer runs."""
        if self._loop is not None:
            self._loop.close()
        for resource in reversed(self._held):
            resource.close()
        self._held.clear()

    def _add(self, device: VirtioDevice) -> None:
        self._board.slots.add_virtio(device)

    def _attach_disk(self, option: DiskOption) -> None:
        from vmm.devices.virtio.block import Block
        from vmm.devices.virtio.disk import Disk

        disk = Disk(option.path, read_only=option.read_only)
        self._held.append(disk)
        self._add(Block(self._memory, disk=disk, serial=option.serial))

    def _attach_net(self, option: NetOption) -> None:
        from vmm.devices.virtio.net import NetDevice

        link = self._open_tap(option) if option.tap else self._start_passt(option)
        self._held.append(link)
        device = NetDevice(self._memory, link=link, mac=option.mac)
        link.on_frame = device.on_frame
        self._add(device)

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
        from vmm.devices.virtio.p9 import P9Device
        from vmm.devices.virtio.share import Share

        share = Share(option.directory, writable=option.writable)
        self._held.append(share)
        device = P9Device(self._memory, share=share, tag=option.tag)
        self._held.append(device)
        self._add(device)

    def _attach_vsock(self, option: VsockOption) -> None:
        from vmm.devices.virtio.vsock import VsockDevice
        from vmm.devices.virtio.vsock_host import VsockHost

        host = VsockHost(option.path, self._events)
        self._held.append(host)
        device = VsockDevice(self._memory, cid=option.cid, host=host)
        self._held.append(device)
        host.on_connect = device.on_connect
        self._add(device)

    @property
    def _events(self) -> EventLoop:
        if self._loop is None:
            from vmm.machine.events import EventLoop

            self._loop = EventLoop(self._lock)
        return self._loop

    def _attach_device(self, device: str | Peripheral) -> None:
        if not isinstance(device, str):
            self._board.slots.add_peripheral(device, self._memory, self._clock)
        elif ":" in device:
            from vmm.machine.plugin import load_device

            self._attach_device(load_device(device))
        else:
            self._attach_plain(device)

    def _attach_plain(self, name: str) -> None:
        if name == RNG:
            from vmm.devices.virtio.rng import Rng

            self._add(Rng(self._memory, source=os.urandom))
        elif name == CONSOLE:
            self._attach_console()
        elif name == BALLOON:
            from vmm.devices.virtio.balloon import Balloon

            self.balloon = Balloon(self._memory)
            self._add(self.balloon)
        else:
            known = ", ".join(PLAIN_DEVICES)
            raise UsageError(
                f"--device {name}: no such device; there are {known}, and your own as MODULE:CLASS"
            )

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
