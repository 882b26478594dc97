"""What the options of devices say: ``--disk``, ``--net``, ``--share``, ``--port`` and so on."""

from __future__ import annotations

import os

from vmm.errors import UsageError
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

USER_NET: Final = "user"


# Addresses of guests (virtio 1.2, 5.10.4).
MIN_CID: Final = 3
MAX_CID: Final = 0xFFFF_FFFF

# The tag of the root file system, and what tells Calypso's kernel of it.
ROOT_TAG: Final = "root"
ROOT_WORDS: Final = f"rootfstype=9p root={ROOT_TAG}"

# Longer tags do not fit the configuration space; guests take no longer ones than this.
MAX_TAG: Final = 31

# The driver is told as many bytes (virtio 1.2, 5.2.6).
MAX_SERIAL: Final = 20

# Descriptors are ints.
MAX_DESCRIPTOR: Final = (1 << 31) - 1

# A port's name is that of a file of the guest's.
MAX_PORT_NAME: Final = 63


@value
class DiskOption:
    """What ``--disk`` says: ``FILE[,ro][,worker][,serial=TEXT]``."""

    path: str
    read_only: bool = False
    serial: str = ""
    worker: bool = False


def parse_disk(text: str) -> DiskOption:
    """Return what ``text`` means; a comma that no known word follows belongs to the name.

    Raises:
        UsageError: if it names no file, or says of one what is unknown.
    """
    path, read_only, serial, worker = text, False, "", False
    while True:
        front, comma, word = path.rpartition(",")
        if comma and word == "ro":
            read_only = True
        elif comma and word == "worker":
            worker = True
        elif comma and word.startswith("serial="):
            serial = word.removeprefix("serial=")
        else:
            break
        path = front
    if not path:
        raise UsageError(f"--disk {text}: write FILE, FILE,ro or FILE,serial=TEXT")
    if len(_encode("--disk", serial)) > MAX_SERIAL:
        raise UsageError(f"--disk {text}: a serial number has at most {MAX_SERIAL} bytes")
    front, comma, word = path.rpartition(",")
    if comma and os.path.exists(front) and not os.path.lexists(path):
        raise UsageError(f"--disk {text}: {word!r} is not one of ro, worker, serial=")
    return DiskOption(path, read_only, serial, worker)


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
    cid = _parse_number(number)
    if not path or not MIN_CID <= cid < MAX_CID:
        raise UsageError(f"--vsock {text}: write CID=PATH, with a number from {MIN_CID} on")
    return VsockOption(cid, path)


@value
class PortOption:
    """What ``--port`` says: ``NAME=PATH``, ``NAME=file:PATH`` or ``NAME=fd:N``.

    Attributes:
        name: of the port.
        kind: ``socket``, ``file`` or ``fd``.
        path: of the socket or file.
        fd: the descriptor, or -1.
    """

    name: str
    kind: str
    path: str = ""
    fd: int = -1


def parse_port(text: str) -> PortOption:
    """Return what ``text`` means.

    Raises:
        UsageError: if it has no name that a file can have, or leads nowhere.
    """
    name, _, target = text.partition("=")
    kind, colon, rest = target.partition(":")
    length = len(_encode("--port", name))
    if name in ("", ".", "..") or "/" in name or length > MAX_PORT_NAME or not target:
        raise UsageError(f"--port {text}: write NAME=PATH, NAME=file:PATH or NAME=fd:N")
    if colon and kind == "file" and rest:
        return PortOption(name, "file", rest)
    if colon and kind == "fd":
        fd = _parse_number(rest)
        if not 0 <= fd <= MAX_DESCRIPTOR:
            raise UsageError(f"--port {text}: {rest!r} is not the number of a descriptor")
        return PortOption(name, "fd", fd=fd)
    return PortOption(name, "socket", target)


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
    if not directory or not 0 < len(_encode("--share", tag)) <= MAX_TAG:
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
    words = _parse_words(text, "--net ", ("tap", "mac", "address", "bridge"))
    tap = words.get("tap", "")
    if not tap:
        raise UsageError(f"--net {text}: write tap=NAME or user")
    address = words.get("address", "")
    if address and not _has_length(address):
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


def _has_length(address: str) -> bool:
    """Tell whether ``address`` ends with the length of a network's prefix."""
    host, _, length = address.rpartition("/")
    return host != "" and 0 <= _parse_number(length) <= (128 if ":" in host else 32)


def _is_port(number: str) -> bool:
    return 0 < _parse_number(number) < 1 << 16


def _parse_number(text: str) -> int:
    """Return the number of at most ten digits that ``text`` is, or -1."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else -1


def _encode(option: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{option}: {text!r} is not in UTF-8") from None


def _parse_words(text: str, option: str, known: tuple[str, ...]) -> dict[str, str]:
    words = {}
    for word in text.split(","):
        name, equals, content = word.partition("=")
        if not equals or name not in known:
            raise UsageError(
                f"{option}{text}: {word!r} is not one of {', '.join(k + '=' for k in known)}"
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

    return b"\x02\x00" + crc32(_encode("--net", name)).to_bytes(4, "big")
