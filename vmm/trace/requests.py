"""What a virtqueue's request asks for, in a few words."""

from __future__ import annotations

from vmm.devices.virtio import block
from vmm.devices.virtio.block import Block
from vmm.devices.virtio.console import control as console_control
from vmm.devices.virtio.console.device import CONTROL_RECEIVE, CONTROL_TRANSMIT, ConsoleDevice
from vmm.devices.virtio.disk import SECTOR
from vmm.devices.virtio.p9 import message as p9_message
from vmm.devices.virtio.p9.device import P9Device
from vmm.devices.virtio.vsock import packet as vsock_packet
from vmm.devices.virtio.vsock.device import VsockDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Final

    from vmm.devices.virtio.chain import Chain
    from vmm.devices.virtio.device import VirtioDevice


def _names(module: ModuleType, prefix: str) -> dict[int, str]:
    """Return the constants of ``module`` whose names begin with ``prefix``, by number."""
    return {
        number: name.removeprefix(prefix)
        for name, number in vars(module).items()
        if name.startswith(prefix) and name.isupper() and isinstance(number, int)
    }


_BLOCK: Final = _names(block, "T_")
_P9: Final = {number: f"T{name}" for number, name in _names(p9_message, "T").items()}
_CONSOLE: Final = _names(console_control, "EVENT_")
_VSOCK: Final = _names(vsock_packet, "OP_")


def summarize(device: VirtioDevice, queue: int, chain: Chain) -> str:
    """Say what ``chain`` of ``queue``, of which nothing was taken yet, asks ``device`` for."""
    if isinstance(device, Block):
        return _summarize_block(chain)
    if isinstance(device, P9Device):
        return _summarize_p9(chain)
    if isinstance(device, VsockDevice):
        return _summarize_vsock(chain)
    if isinstance(device, ConsoleDevice):
        return _summarize_console(queue, chain)
    return f"{chain.readable.length} bytes out, room for {chain.writable.length}"


def _summarize_block(chain: Chain) -> str:
    header = _front(chain, block.HEADER.size)
    if len(header) < block.HEADER.size:
        return "malformed"
    kind, _, sector = block.HEADER.unpack(header)
    name = _BLOCK.get(kind, f"type {kind}")
    if kind not in (block.T_IN, block.T_OUT):
        return name
    data = chain.readable.length - block.HEADER.size + max(chain.writable.length - 1, 0)
    return f"{name} {data // SECTOR} sectors at {sector}"


def _summarize_p9(chain: Chain) -> str:
    header = _front(chain, p9_message.HEADER.size)
    if len(header) < p9_message.HEADER.size:
        return "malformed"
    length, kind, tag = p9_message.HEADER.unpack(header)
    return f"{_P9.get(kind, f'type {kind}')} of {length} bytes, tag {tag}"


def _summarize_vsock(chain: Chain) -> str:
    packet = vsock_packet.unpack(_front(chain, vsock_packet.HEADER.size))
    if packet is None:
        return f"room for {chain.writable.length}"
    name = _VSOCK.get(packet.op, f"op {packet.op}")
    return f"{name} {packet.src_port} to {packet.dst_cid}:{packet.dst_port}, {packet.length} bytes"


def _summarize_console(queue: int, chain: Chain) -> str:
    if queue == CONTROL_TRANSMIT:
        message = _front(chain, console_control.MESSAGE.size)
        if len(message) < console_control.MESSAGE.size:
            return "malformed"
        port, event, value = console_control.MESSAGE.unpack(message)
        return f"{_CONSOLE.get(event, f'event {event}')} {value}, port {port}"
    if queue % 2:
        return f"{chain.readable.length} bytes out"
    kind = "a message" if queue == CONTROL_RECEIVE else "input"
    return f"room for {kind} of {chain.writable.length} bytes"


def _front(chain: Chain, length: int) -> bytes:
    front = b""
    for view in chain.readable.views:
        front += bytes(view[: length - len(front)])
        if len(front) == length:
            break
    return front
