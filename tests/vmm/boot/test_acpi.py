"""The ACPI tables, read back by the specification."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.boards import x86_map
from vmm.boards.slots import Place
from vmm.boot import acpi, aml

BASE = 0xF_0000
VIRTIO = Place("virtio_mmio", "virtio,mmio", 0xD000_0000, 0x200, 5)


class Tables:
    """All tables of one machine, by signature."""

    def __init__(self, cpus: int = 1, places: tuple[Place, ...] = ()) -> None:
        self.content = acpi.build_tables(BASE, cpus, places)
        pointer = self.content[:36]
        assert pointer.startswith(b"RSD PTR ")
        assert sum(pointer[:20]) % 256 == sum(pointer) % 256 == 0
        (xsdt,) = struct.unpack_from("<Q", pointer, 24)
        entries = self.table(xsdt, b"XSDT")
        addresses = struct.unpack(f"<{len(entries) // 8}Q", entries)
        self.fadt = self.table(addresses[0], b"FACP")
        self.madt = self.table(addresses[1], b"APIC")

    def table(self, address: int, signature: bytes) -> bytes:
        """The body of a table whose header is right."""
        header = self.content[address - BASE :]
        found, length = struct.unpack_from("<4sI", header)
        assert found == signature
        assert sum(header[:length]) % 256 == 0
        return header[36:length]

    @property
    def dsdt(self) -> bytes:
        (address,) = struct.unpack_from("<Q", self.fadt, 140 - 36)
        return self.table(address, b"DSDT")


def test_fixed_description() -> None:
    fadt = Tables().fadt
    assert len(fadt) == 276 - 36
    assert struct.unpack_from("<H", fadt, 46 - 36) == (acpi.SCI,)
    event, _, control = struct.unpack_from("<III", fadt, 56 - 36)
    assert (event, control) == (x86_map.ACPI_EVENTS, x86_map.ACPI_POWER)
    assert struct.unpack_from("<BB", fadt, 88 - 36) == (4, 2)
    # The 64-bit addresses say the same; the reset register is the keyboard controller's.
    for offset, bits, port in ((148, 32, event), (172, 16, control), (116, 8, 0x64)):
        space, width, start, _, address = struct.unpack_from("<BBBBQ", fadt, offset - 36)
        assert (space, width, start, address) == (1, bits, 0, port)
    (facs,) = struct.unpack_from("<Q", fadt, 132 - 36)
    assert facs % 64 == 0
    assert Tables().content[facs - BASE :].startswith(b"FACS\x40\0\0\0")


@pytest.mark.parametrize("cpus", [1, 3])
def test_interrupts(cpus: int) -> None:
    madt = Tables(cpus).madt
    assert struct.unpack_from("<II", madt) == (x86_map.LOCAL_APIC, 1)
    entries, position = [], 8
    while position < len(madt):
        kind, length = madt[position : position + 2]
        entries.append((kind, madt[position + 2 : position + length]))
        position += length
    assert [body[:2] for kind, body in entries if kind == 0] == [bytes((i, i)) for i in range(cpus)]
    [io_apic] = [body for kind, body in entries if kind == 1]
    assert struct.unpack("<BxII", io_apic) == (cpus, x86_map.IOAPIC, 0)
    overrides = [struct.unpack("<BBIH", body) for kind, body in entries if kind == 2]
    # The timer is at another pin; ACPI's own interrupt is low until something happens.
    assert overrides == [(0, 0, x86_map.GSI_TIMER, 0), (0, 9, 9, 0xD)]


def test_no_device_has_the_interrupt_of_acpi_itself() -> None:
    assert acpi.SCI not in x86_map.IRQS_ADDED


def test_devices() -> None:
    other = Place("mine", "mine", 0xD100_0000, 0x1000, 7)
    dsdt = Tables(1, (VIRTIO, other, VIRTIO)).dsdt
    assert dsdt.count(b"\x5b\x82") == 2  # DeviceOp
    assert dsdt.count(b"LNRO0005\0") == 2
    assert b"\x08\\_S5_\x12\x06\x04\0\0\0\0" in dsdt
    memory = struct.pack("<BHBII", 0x86, 9, 1, VIRTIO.base, VIRTIO.size)
    interrupt = struct.pack("<BHBBI", 0x89, 6, 0b1001, 1, VIRTIO.irq)
    assert dsdt.count(memory + interrupt + b"\x79\0") == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"),
        (1, "01"),
        (2, "0a02"),
        (0xFF, "0aff"),
        (0x100, "0b0001"),
        (0x1_0000, "0c00000100"),
        (0xFFFF_FFFF, "0cffffffff"),
    ],
)
def test_integers(value: int, expected: str) -> None:
    assert aml.integer(value).hex() == expected


@given(st.integers(0, 70_000))
def test_lengths_count_themselves(size: int) -> None:
    term = aml.scope("\\_SB", bytes(size))
    lead = term[1]
    following = lead >> 6
    length = lead & 0x3F
    if following:
        length = lead & 0xF | int.from_bytes(term[2 : 2 + following], "little") << 4
        assert length >= 0x40 if following == 1 else length >= 1 << 4 + 8 * (following - 1)
    assert length == len(term) - 1
    assert term[2 + following :] == b"\\_SB_" + bytes(size)
