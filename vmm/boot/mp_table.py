"""Intel's MultiProcessor tables (MP Specification 1.4, chapter 4).

By them, Linux without ACPI finds the local APICs, the I/O APIC, and which of its pins an ISA
interrupt request reaches.
"""

from __future__ import annotations

from struct import Struct

from vmm.boot.x86_start import CONVENTIONAL_END

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.boot.placement import Placement

LOCAL_APIC: Final = 0xFEE0_0000
IO_APIC: Final = 0xFEC0_0000

_POINTER: Final = Struct("<4sIBBB5B")
_HEADER: Final = Struct("<4sHBB8s12sIHHIHBB")
_PROCESSOR: Final = Struct("<BBBBIIII")
_BUS: Final = Struct("<BB6s")
_IO_APIC: Final = Struct("<BBBBI")
_INTERRUPT: Final = Struct("<BBHBBBB")

_SPEC_1_4: Final = 4
_APIC_VERSION: Final = 0x14
_IO_APIC_VERSION: Final = 0x11
_ENABLED: Final = 1
_BOOT_PROCESSOR: Final = 2
_ISA: Final = 0
_ISA_REQUESTS: Final = 16
# Interrupt types: vectored; NMI; from an 8259.
_INT: Final = 0
_NMI: Final = 1
_EXTINT: Final = 3
_ALL_APICS: Final = 0xFF
_TIMER_PIN: Final = 2
_CASCADE: Final = 2


def put_mp_table(placement: Placement, cpus: int) -> None:
    """Put the floating pointer and the table into the last KiB of conventional memory."""
    table = CONVENTIONAL_END + _POINTER.size
    pointer = _POINTER.pack(b"_MP_", table, 1, _SPEC_1_4, 0, 0, 0, 0, 0, 0)
    content = with_checksum(pointer, 10) + build_table(cpus)
    placement.put(CONVENTIONAL_END, content, "MP tables")


def build_table(cpus: int) -> bytes:
    """Return the configuration table for ``cpus`` vCPUs, whose APIC ids count from 0."""
    io_apic = cpus
    entries = []
    for index in range(cpus):
        flags = _ENABLED if index else _ENABLED | _BOOT_PROCESSOR
        # Family 6, with an FPU and an APIC: what kernels really use is CPUID.
        entries.append(_PROCESSOR.pack(0, index, _APIC_VERSION, flags, 0x600, 0x201, 0, 0))
    entries.append(_BUS.pack(1, _ISA, b"ISA   "))
    entries.append(_IO_APIC.pack(2, io_apic, _IO_APIC_VERSION, _ENABLED, IO_APIC))
    for request in range(_ISA_REQUESTS):
        if request != _CASCADE:
            pin = request or _TIMER_PIN
            entries.append(_INTERRUPT.pack(3, _INT, 0, _ISA, request, io_apic, pin))
    entries.append(_INTERRUPT.pack(4, _EXTINT, 0, _ISA, 0, _ALL_APICS, 0))
    entries.append(_INTERRUPT.pack(4, _NMI, 0, _ISA, 0, _ALL_APICS, 1))
    body = b"".join(entries)
    header = _HEADER.pack(
        b"PCMP",
        _HEADER.size + len(body),
        _SPEC_1_4,
        0,
        b"CALYPSO ",
        b"PC          ",
        0,
        0,
        len(entries),
        LOCAL_APIC,
        0,
        0,
        0,
    )
    return with_checksum(header + body, 7)


def with_checksum(table: bytes, position: int) -> bytes:
    """Return the table with the byte at ``position`` such that all bytes sum to 0."""
    result = bytearray(table)
    result[position] = -sum(table) & 0xFF
    return bytes(result)
