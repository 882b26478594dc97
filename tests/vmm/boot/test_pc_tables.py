"""What kernels for PCs find in low memory: maps, parameters, tables, by their specifications."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.vmm.boot.walker import walk_x86_64
from vmm.boot import linux_x86, multiboot, multiboot2, pvh, x86_start
from vmm.boot.mp_table import build_table, put_mp_table
from vmm.boot.placement import BootRequest, Placement
from vmm.errors import UsageError
from vmm.memory import Gpa, GuestMemory

MIB = 1 << 20
GIB = 1 << 30
USABLE = [(0, 0x9_FC00), (MIB, 15 * MIB), (4 * GIB, MIB)]


@pytest.fixture
def placement() -> Iterator[Placement]:
    with GuestMemory([(Gpa(0), 16 * MIB), (Gpa(4 * GIB), MIB)]) as memory:
        yield Placement(memory)


@pytest.fixture
def request_(tmp_path: object) -> BootRequest:
    initrd = f"{tmp_path}/initrd"
    with open(initrd, "wb") as file:
        file.write(b"archive")
    return BootRequest("name", "one two", initrd, SimpleNamespace())  # type: ignore[arg-type]


INITRD = 16 * MIB - 0x1000


def text(memory: GuestMemory, gpa: int) -> bytes:
    return memory.read(gpa, 256).partition(b"\0")[0]


def usable(entries: list[tuple[int, ...]]) -> list[tuple[int, int]]:
    return [(start, size) for start, size, kind, *_ in entries if kind == 1]


def test_multiboot_information(placement: Placement, request_: BootRequest) -> None:
    multiboot.put_information(placement, request_)
    memory = placement.memory
    words = struct.unpack("<22I", memory.read(x86_start.INFORMATION, 88))
    flags, lower, upper, _, line, module_count, modules = words[:7]
    length, address = words[11:13]
    assert flags == 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9
    assert (lower, upper) == (639, 15 * 1024)
    assert text(memory, line) == b"name one two"
    assert module_count == 1
    start, end, name, reserved = struct.unpack("<4I", memory.read(modules, 16))
    assert (start, end, reserved) == (INITRD, INITRD + 7, 0)
    assert text(memory, name) == b"initrd"
    assert text(memory, words[16]) == b"Calypso"
    entries = []
    position = address
    while position < address + length:
        size, *entry = struct.unpack("<IQQI", memory.read(position, 24))
        entries.append(tuple(entry))
        position += size + 4
    assert usable(entries) == USABLE


def test_multiboot_2_information(placement: Placement, request_: BootRequest) -> None:
    multiboot2.put_information(placement, request_)
    memory = placement.memory
    total, _ = struct.unpack("<II", memory.read(x86_start.TABLES, 8))
    content = memory.read(x86_start.TABLES, total)
    tags = {}
    position = 8
    while position < total:
        kind, size = struct.unpack_from("<II", content, position)
        tags[kind] = content[position + 8 : position + size]
        position += (size + 7) & ~7
    assert tags[0] == b""
    assert tags[1] == b"one two\0"
    assert struct.unpack("<II", tags[3][:8]) == (INITRD, INITRD + 7)
    assert struct.unpack("<II", tags[4]) == (639, 15 * 1024)
    entry_size, version = struct.unpack_from("<II", tags[6])
    assert (entry_size, version) == (24, 0)
    assert usable(list(struct.iter_unpack("<QQII", tags[6][8:]))) == USABLE


def test_pvh_start_information(placement: Placement, request_: BootRequest) -> None:
    pvh.put_start_information(placement, request_)
    memory = placement.memory
    (magic, version, _, count, modules, line, rsdp, entries, entry_count) = struct.unpack(
        "<4I4QI", memory.read(x86_start.INFORMATION, 52)
    )
    assert (magic, version, count, rsdp) == (0x336E_C578, 1, 1, 0)
    assert struct.unpack("<4Q", memory.read(modules, 32)) == (INITRD, 7, 0, 0)
    assert text(memory, line) == b"one two"
    table = memory.read(entries, entry_count * 24)
    assert usable(list(struct.iter_unpack("<QQII", table))) == USABLE


def test_linux_parameters(placement: Placement, request_: BootRequest) -> None:
    x86_start.put_command_line(placement, "one two")
    initrd = placement.load_initrd(request_.initrd, below=16 * MIB)
    linux_x86.put_boot_parameters(placement, b"", 7, initrd)
    page = placement.memory.read(x86_start.INFORMATION, 4096)
    assert page[0x202:0x206] == b"HdrS"
    assert page[0x1FE:0x200] == b"\x55\xaa"
    assert struct.unpack_from("<II", page, 0x218) == (INITRD, 7)
    assert text(placement.memory, struct.unpack_from("<I", page, 0x228)[0]) == b"one two"
    entries = list(struct.iter_unpack("<QQI", page[0x2D0 : 0x2D0 + 20 * page[0x1E8]]))
    assert usable(entries) == USABLE


def test_a_kernels_own_setup_header_is_kept(placement: Placement) -> None:
    header = bytes([7]) + bytes(12) + b"\x12\x34" + b"\xeb\x66HdrS" + b"\x0f\x02"
    linux_x86.put_boot_parameters(placement, header, None, None)
    page = placement.memory.read(x86_start.INFORMATION, 4096)
    assert page[0x1F1] == 7
    assert page[0x206:0x208] == b"\x0f\x02"
    assert struct.unpack_from("<II", page, 0x218) == (0, 0)


def test_command_lines_have_a_limit(placement: Placement) -> None:
    with pytest.raises(UsageError, match="takes 5 bytes, this kernel has 4"):
        x86_start.put_command_line(placement, "12345", 4)
    line = "x" * 5000
    with pytest.raises(UsageError, match="too many for multiboot 2"):
        multiboot2.put_information(placement, BootRequest("name", line, None, SimpleNamespace()))  # type: ignore[arg-type]


@pytest.mark.parametrize("cpus", [1, 3])
def test_mp_tables(placement: Placement, cpus: int) -> None:
    put_mp_table(placement, cpus)
    memory = placement.memory
    # Where the specification has kernels look for it: the last KiB of conventional memory.
    pointer = memory.read(639 * 1024, 16)
    assert pointer[:4] == b"_MP_"
    assert sum(pointer) % 256 == 0
    address, length, revision = struct.unpack_from("<IBB", pointer, 4)
    assert (length, revision) == (1, 4)
    size = memory.read_u16(address + 4)
    table = memory.read(address, size)
    assert table == build_table(cpus)
    assert sum(table) % 256 == 0
    assert table[:4] == b"PCMP"
    count, apic = struct.unpack_from("<HI", table, 34)
    assert apic == 0xFEE0_0000
    entries = []
    position = 44
    while position < size:
        length = 20 if table[position] == 0 else 8
        entries.append(table[position : position + length])
        position += length
    assert len(entries) == count
    processors = [entry for entry in entries if entry[0] == 0]
    assert [entry[1] for entry in processors] == list(range(cpus))
    assert [entry[3] for entry in processors] == [3] + [1] * (cpus - 1)
    wires = {entry[5]: entry[7] for entry in entries if entry[0] == 3}
    assert wires == {0: 2, 1: 1} | {irq: irq for irq in range(3, 16)}


def test_long_mode_maps_4_gib_where_they_are(placement: Placement) -> None:
    registers = x86_start.enter_long_mode(placement, 0x10_0000, rsi=5)
    assert registers["rip"] == 0x10_0000
    assert registers["rsi"] == 5
    root = registers["cr3"]
    assert isinstance(root, int)
    (span,) = walk_x86_64(placement.memory, root)
    assert (span.virtual, span.physical, span.length) == (0, 0, 4 * GIB)
    assert span.write
    assert span.execute
