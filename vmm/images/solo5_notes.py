"""The two ELF notes of a Solo5 unikernel: which ABI it is for, and which devices it asks for.

As in Solo5's elf_abi.h and mft_abi.h: notes named "Solo5", types "ABI1" and "MFT1", little-endian.
"""

from __future__ import annotations

from struct import Struct

from vmm.errors import UsageError
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from vmm.hypercall.solo5 import Properties
    from vmm.images.elf import Note

NOTE_NAME: Final = "Solo5"
ABI_NOTE: Final = 0x3149_4241  # "ABI1"
MANIFEST_NOTE: Final = 0x3154_464D  # "MFT1"

# enum abi_target
TARGETS: Final = {1: "hvt", 2: "spt", 3: "virtio", 4: "muen", 5: "genode", 6: "xen"}
HVT: Final = 1
HVT_VERSION: Final = 2

# enum mft_type
BLOCK: Final = 1
NETWORK: Final = 2
RESERVED_FIRST: Final = 1 << 30
TYPES: Final = {BLOCK: "block", NETWORK: "network"}

MANIFEST_VERSION: Final = 1
MAX_ENTRIES: Final = 64

# struct abi1_info: target, version, two words reserved.
_ABI: Final = Struct("<II8x")
# struct mft: version and number of entries. In its note it is aligned to 8 bytes.
_MANIFEST: Final = Struct("<II")
_MANIFEST_PADDING: Final = 4
# struct mft_entry: name, type, union of properties, union of host's own, attached.
_ENTRY: Final = Struct("<68sI16s8x?7x")
_NAME_SIZE: Final = 68
_BLOCK: Final = Struct("<QH6x")  # struct mft_block_basic: capacity, block size
_NETWORK: Final = Struct("<6sH8x")  # struct mft_net_basic: MAC address, MTU


@value
class Abi:
    """What an image was built for.

    Attributes:
        target: one of `TARGETS`, or a number unknown here.
        version: of that target's ABI.
    """

    target: int
    version: int


@value
class DeviceRequest:
    """A device that a unikernel asks for.

    Attributes:
        name: by which the unikernel and the user know it.
        type: `BLOCK` or `NETWORK`.
    """

    name: str
    type: int


@value
class BlockProperties:
    """What a unikernel is told of a block device; both in bytes."""

    capacity: int
    block_size: int

    def pack(self) -> bytes:
        """Return struct mft_block_basic."""
        return _BLOCK.pack(self.capacity, self.block_size)


@value
class NetworkProperties:
    """What a unikernel is told of a network device."""

    mac: bytes
    mtu: int

    def pack(self) -> bytes:
        """Return struct mft_net_basic."""
        return _NETWORK.pack(self.mac, self.mtu)


def find_note(notes: list[Note], number: int) -> bytes | None:
    """Return the description of the Solo5 note of type ``number``, if there is one."""
    for note in notes:
        if note.name == NOTE_NAME and note.type == number:
            return note.description
    return None


def parse_abi(description: bytes) -> Abi:
    """Return what the note of the ABI says.

    Raises:
        UsageError: if it is malformed.
    """
    if len(description) != _ABI.size:
        raise UsageError(f"the note ABI1 has {len(description)} bytes, not {_ABI.size}")
    return Abi(*_ABI.unpack(description))


def parse_manifest(description: bytes) -> list[DeviceRequest | None]:
    """Return the devices of the manifest, by the handles that the unikernel knows them by.

    None stands for an entry that is no device, such as the first.

    Raises:
        UsageError: naming the field that is wrong.
    """
    content = description[_MANIFEST_PADDING:]
    if len(content) < _MANIFEST.size:
        raise UsageError(f"the note MFT1 has {len(description)} bytes: it holds no manifest")
    version, count = _MANIFEST.unpack_from(content)
    if version != MANIFEST_VERSION:
        raise UsageError(f"the manifest's version is {version}, not {MANIFEST_VERSION}")
    if not 1 <= count <= MAX_ENTRIES:
        raise UsageError(f"the manifest's entries are {count}, not 1 to {MAX_ENTRIES}")
    size = _MANIFEST.size + count * _ENTRY.size
    if len(content) != size:
        raise UsageError(f"the manifest has {len(content)} bytes, {count} entries take {size}")
    entries = list(_ENTRY.iter_unpack(content[_MANIFEST.size :]))
    devices = [_parse_entry(index, *entry) for index, entry in enumerate(entries)]
    names = [(device.type, device.name) for device in devices if device is not None]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the manifest asks for {TYPES[name[0]]} {name[1]!r} twice")
    return devices


def _parse_entry(
    index: int, name: bytes, kind: int, _properties: bytes, attached: bool
) -> DeviceRequest | None:
    where = f"the manifest's entry {index}"
    if name[-1] != 0:
        raise UsageError(f"{where} has a name without an end")
    text = name.partition(b"\0")[0].decode("ascii", "backslashreplace")
    if attached:
        raise UsageError(f"{where} says that it is attached, which is for the VMM to say")
    if index == 0:
        if kind != RESERVED_FIRST or text:
            raise UsageError(f"{where} is not the reserved one that begins every manifest")
        return None
    if kind not in TYPES:
        raise UsageError(f"{where}, {text!r}, is of type {kind}: not a block or network device")
    if not text:
        raise UsageError(f"{where} has no name")
    return DeviceRequest(text, kind)


def pack_manifest(
    devices: list[DeviceRequest | None],
    attached: Mapping[int, Properties],
) -> bytes:
    """Return struct mft for the guest, with the properties of what is attached by handle."""
    parts = [_MANIFEST.pack(MANIFEST_VERSION, len(devices))]
    for handle, device in enumerate(devices):
        if device is None:
            parts.append(_ENTRY.pack(b"", RESERVED_FIRST, b"", False))
            continue
        properties = attached.get(handle)
        packed = b"" if properties is None else properties.pack()
        name = device.name.encode().ljust(_NAME_SIZE, b"\0")
        parts.append(_ENTRY.pack(name, device.type, packed, properties is not None))
    return b"".join(parts)
