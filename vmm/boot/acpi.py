"""ACPI tables for PCs (ACPI 6.4, chapter 5): processors, interrupts, added devices, power-off.

By them, Linux finds devices that it has no other way to be told of: virtio devices behind memory
have the identification LNRO0005.
"""

from __future__ import annotations

from struct import Struct

from vmm.boot import aml
from vmm.boot.mp_table import IO_APIC, LOCAL_APIC, with_checksum
from vmm.boot.x86_start import FIRMWARE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from vmm.boards.slots import Place
    from vmm.boot.placement import Placement

# What a board names its virtio devices.
VIRTIO: Final = "virtio_mmio"
VIRTIO_HID: Final = "LNRO0005"

# The power management registers (4.8.3), the reset port and what resets by it.
PM1_EVENT: Final = 0x600
PM1_EVENT_PORTS: Final = 4
PM1_CONTROL: Final = 0x604
PM1_CONTROL_PORTS: Final = 2
RESET_PORT: Final = 0x64
RESET_VALUE: Final = 0xFE

# Of ACPI itself: that of a PC, which nothing ever raises.
SCI: Final = 9

_RSDP: Final = Struct("<8sB6sBIIQB3x")
_RSDP_CHECKED: Final = 20  # bytes that the first checksum is of
_HEADER: Final = Struct("<4sIBB6s8sI4sI")
_ADDRESS: Final = Struct("<BBBBQ")  # a generic address: I/O, bits, offset, size of access, port
_FACS: Final = Struct("<4sIIIIIQB31x")

_MADT: Final = Struct("<II")
_MADT_PROCESSOR: Final = Struct("<BBBBI")
_MADT_IO_APIC: Final = Struct("<BBBBII")
_MADT_OVERRIDE: Final = Struct("<BBBBIH")
_PCAT_COMPAT: Final = 1  # there is a pair of 8259s, too
_ENABLED: Final = 1
_HIGH_LEVEL: Final = 0xD  # active-high, level-triggered
_TIMER: Final = 0
_TIMER_PIN: Final = 2

# FACS, DSDT; model, profile, SCI, four fields of SMI; port blocks from PM1a_EVT to GPE1; their
# lengths and GPE1's base, _CST; latencies of C2 and C3; cache flushing; duty, alarms, century;
# boot architecture; flags.
_FADT_FRONT: Final = Struct("<II BBHIBBBB 8I 8B HHHH 5B HxI")
# Value of the reset register, boot architecture of ARM, minor version, 64-bit FACS and DSDT.
_FADT_MIDDLE: Final = Struct("<BHBQQ")
_FADT_REVISION: Final = 6
_FADT_MINOR: Final = 4
_NO_LATENCY: Final = 0xFFFF  # C2 and C3 are not there
_LEGACY_DEVICES: Final = 1 << 0
_NO_VGA: Final = 1 << 2
_NO_MSI: Final = 1 << 3
# Caches are flushed by WBINVD; C1 is there; buttons and the alarm are no fixed features; the reset
# register is there.
_FADT_FLAGS: Final = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10

_ALIGNMENT: Final = 64


def put_acpi_tables(placement: Placement, cpus: int, places: Sequence[Place]) -> None:
    """Put all tables where a PC has its firmware, the pointer to them first."""
    placement.put(FIRMWARE, build_tables(FIRMWARE, cpus, places), "ACPI tables")


def build_tables(base: int, cpus: int, places: Sequence[Place]) -> bytes:
    """Return the tables as they are to be at ``base``.

    Args:
        base: a guest-physical address below 1 MiB, aligned to 64 bytes.
        cpus: the number of processors, whose APIC ids count from 0.
        places: devices on the board that the user has added.
    """
    content = bytearray(_RSDP.size)

    def put(table: bytes) -> int:
        content.extend(bytes(-len(content) % _ALIGNMENT))
        content.extend(table)
        return base + len(content) - len(table)

    facs = put(_FACS.pack(b"FACS", _FACS.size, 0, 0, 0, 0, 0, 2))
    dsdt = put(_table(b"DSDT", 2, _devices(places)))
    fadt = put(_table(b"FACP", _FADT_REVISION, _fixed(facs, dsdt)))
    madt = put(_table(b"APIC", 4, _interrupts(cpus)))
    entries = b"".join([address.to_bytes(8, "little") for address in (fadt, madt)])
    xsdt = put(_table(b"XSDT", 1, entries))
    content[: _RSDP.size] = _pointer(xsdt)
    return bytes(content)


def _pointer(xsdt: int) -> bytes:
    """Return the root pointer of revision 2, which needs no 32-bit table."""
    front = _RSDP.pack(b"RSD PTR ", 0, b"CALYPS", 2, 0, _RSDP.size, xsdt, 0)
    first = with_checksum(front[:_RSDP_CHECKED], 8)
    return with_checksum(first + front[_RSDP_CHECKED:], 32)


def _devices(places: Sequence[Place]) -> bytes:
    """Return the description of devices, and of S5, soft off, whose sleep type is 0."""
    virtio = [place for place in places if place.name == VIRTIO]
    nodes = [
        aml.device(
            f"V{index:03X}",
            aml.name("_HID", aml.string(VIRTIO_HID)),
            aml.name("_UID", aml.integer(index)),
            aml.name("_CCA", aml.integer(1)),
            aml.name(
                "_CRS",
                aml.resources(aml.memory(place.base, place.size), aml.interrupt(place.irq)),
            ),
        )
        for index, place in enumerate(virtio)
    ]
    soft_off = aml.package(*[aml.integer(0)] * 4)
    return aml.name("\\_S5", soft_off) + aml.scope("\\_SB", *nodes)


def _fixed(facs: int, dsdt: int) -> bytes:
    """Return the body of the FADT (5.2.9): what is where, and what there is not."""
    blocks = (PM1_EVENT, 0, PM1_CONTROL, 0, 0, 0, 0, 0)
    lengths = (PM1_EVENT_PORTS, PM1_CONTROL_PORTS, 0, 0, 0, 0, 0, 0)
    boot = _LEGACY_DEVICES | _NO_VGA | _NO_MSI
    front = _FADT_FRONT.pack(
        *(facs, dsdt, 0, 0, SCI, 0, 0, 0, 0, 0),
        *blocks,
        *lengths,
        *(_NO_LATENCY, _NO_LATENCY, 0, 0),
        *(0, 0, 0, 0, 0),
        boot,
        _FADT_FLAGS,
    )
    middle = _FADT_MIDDLE.pack(RESET_VALUE, 0, _FADT_MINOR, facs, dsdt)
    nothing = bytes(_ADDRESS.size)
    event = _port(PM1_EVENT, PM1_EVENT_PORTS)
    control = _port(PM1_CONTROL, PM1_CONTROL_PORTS)
    # PM1a and PM1b of each; PM2, timer, GPE0, GPE1, sleep control and status; hypervisor.
    extended = event + nothing + control + nothing + 6 * nothing + bytes(8)
    return front + _port(RESET_PORT, 1) + middle + extended


def _port(number: int, ports: int) -> bytes:
    io_space, byte, word = 1, 1, 2
    return _ADDRESS.pack(io_space, 8 * ports, 0, byte if ports == 1 else word, number)


def _interrupts(cpus: int) -> bytes:
    """Return the body of the MADT (5.2.12)."""
    size = _MADT_PROCESSOR.size
    entries = [_MADT.pack(LOCAL_APIC, _PCAT_COMPAT)]
    entries += [_MADT_PROCESSOR.pack(0, size, index, index, _ENABLED) for index in range(cpus)]
    entries.append(_MADT_IO_APIC.pack(1, _MADT_IO_APIC.size, cpus, 0, IO_APIC, 0))
    size = _MADT_OVERRIDE.size
    entries.append(_MADT_OVERRIDE.pack(2, size, 0, _TIMER, _TIMER_PIN, 0))
    entries.append(_MADT_OVERRIDE.pack(2, size, 0, SCI, SCI, _HIGH_LEVEL))
    return b"".join(entries)


def _table(signature: bytes, revision: int, body: bytes) -> bytes:
    length = _HEADER.size + len(body)
    header = _HEADER.pack(signature, length, revision, 0, b"CALYPS", b"CALYPSO ", 1, b"CLPS", 1)
    return with_checksum(header + body, 9)
