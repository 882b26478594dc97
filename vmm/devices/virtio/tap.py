"""A TAP interface of Linux as the network of a device.

An interface that exists already and belongs to the user needs no privileges. With CAP_NET_ADMIN
one that does not exist is made, and goes when the machine does; giving it an address or putting it
on a bridge takes the package pyroute2.
"""

from __future__ import annotations

import os
from errno import EBADFD, EBUSY, EPERM

from vmm.devices.virtio import net
from vmm.devices.virtio.chain import copy_to
from vmm.errors import UsageError
from vmm.host import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.lines import Descriptors

DEVICE: Final = "/dev/net/tun"
MAX_NAME: Final = 15

# <linux/if_tun.h>: TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, by the guest's features.
_OFFLOADS: Final = (
    (net.F_GUEST_CSUM, 0x01),
    (net.F_GUEST_TSO4, 0x02),
    (net.F_GUEST_TSO6, 0x04),
)

# The kernel takes so many buffers at once (IOV_MAX).
_MAX_VECTOR: Final = 1024


def _nothing() -> None:
    pass


class Tap:
    """One TAP interface.

    Attributes:
        offloads: the features of frames that the network takes or gives.
        on_frame: called when there is a frame, after `wait`.
    """

    offloads = net.OFFLOADS

    def __init__(self, name: str, events: Descriptors) -> None:
        """Attach to the interface ``name``, which is made if need be.

        Raises:
            UsageError: if that cannot be.
        """
        self.on_frame: Callable[[], None] = _nothing
        self._fd = open_tap(name)
        self._gone = False
        self._watch = events.watch(self._fd, self._ready)

    def close(self) -> None:
        """Detach from the interface; harmless when detached."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._watch.close()
            os.close(fd)

    def send(self, frame: list[memoryview]) -> None:
        """Send ``frame``; it is lost if the interface is down, gone, or its queue is full."""
        if len(frame) > _MAX_VECTOR:
            frame = [memoryview(b"".join(frame))]
        try:
            os.writev(self._fd, frame)
        except OSError:
            pass

    def receive(self, room: list[memoryview]) -> int:
        """Fill ``room`` with the next frame.

        Returns its length, or 0 if there is none or the interface is gone.
        """
        try:
            if len(room) > _MAX_VECTOR:
                return copy_to(room, os.read(self._fd, net.MAX_FRAME))
            return os.readv(self._fd, room)
        except BlockingIOError:
            return 0
        except OSError as error:
            # An interface that is down may come up again; one that was deleted never does.
            self._gone = error.errno == EBADFD
            return 0

    def set_offloads(self, features: int) -> None:
        """Let the kernel finish those frames that the driver does not take unfinished."""
        offloads = sum([bit for feature, bit in _OFFLOADS if features & feature])
        try:
            libc.set_tap_offloads(self._fd, offloads)
        except OSError:
            pass  # the driver chose what does not go together; then all frames are finished

    def wait(self) -> None:
        """Have `on_frame` called when there is a frame."""
        # What is gone has always something to say, and nothing new.
        if not self._gone:
            self._watch.arm(read=True)

    def _ready(self) -> None:
        self.on_frame()


def open_tap(name: str, *, headers: bool = True) -> int:
    """Return a descriptor of the TAP interface ``name``; frames have virtio ``headers``, or none.

    Raises:
        UsageError: if there is none that this process may use.
    """
    if not 0 < len(name.encode()) <= MAX_NAME or "/" in name or name in (".", ".."):
        raise UsageError(f"tap {name!r}: that is not the name of an interface")
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"tap {name}: {DEVICE}: {error.strerror}") from None
    try:
        flags = libc.IFF_TAP | libc.IFF_NO_PI
        libc.set_tap(fd, name, flags | libc.IFF_VNET_HDR if headers else flags)
        if headers:
            libc.set_tap_header_size(fd, net.HEADER_SIZE)
    except OSError as error:
        os.close(fd)
        raise UsageError(
            f"tap {name}: {error.strerror}{_HINTS.get(error.errno or 0, '')}"
        ) from None
    return fd


_HINTS: Final = {
    EPERM: f"; make it for this user: ip tuntap add NAME mode tap user {os.getuid()} vnet_hdr",
    EBUSY: "; another program has it",
}


def configure(name: str, address: str, bridge: str) -> None:
    """Give the interface an address (``192.0.2.1/24``), put it on a bridge, and switch it on.

    What is "" is left as it is.

    Raises:
        UsageError: if the kernel refuses, or pyroute2 is not installed.
    """
    try:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError
    except ImportError:
        raise UsageError(
            f"tap {name}: address and bridge need the package pyroute2:"
            " pip install 'calypso-vmm[net]'"
        ) from None
    host, _, prefix = address.partition("/")
    try:
        with IPRoute() as routes:
            index = _find(routes, name)
            if bridge:
                routes.link("set", index=index, master=_find(routes, bridge))
            if address:
                routes.addr("replace", index=index, address=host, prefixlen=int(prefix))
            routes.link("set", index=index, state="up")
    except (NetlinkError, OSError, ValueError) as error:
        raise UsageError(f"tap {name}: it cannot be configured: {error}") from None


def _find(routes: object, name: str) -> int:
    found: list[int] = routes.link_lookup(ifname=name)  # type: ignore[attr-defined]
    if not found:
        raise UsageError(f"there is no network interface {name!r}")
    return found[0]
