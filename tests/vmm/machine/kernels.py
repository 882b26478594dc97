"""Calypso kernels of a few instructions, for what a machine does with guests of every manner.

A kernel is one page of code and one of data. Its services are request blocks in the data page,
rung one after the other; behind them the code does what the test wants.
"""

from __future__ import annotations

import struct
from pathlib import Path

from vmm.boot.memory_map import MEMORY_MAPS
from vmm.hypercall import abi

PAGE = 0x1000
HEADER = 64
MACHINES = {"x86_64": 62, "arm64": 183}
DOORBELL_X86 = 0x0CA0
DOORBELL_ARM = 0x0902_0000

# What a kernel can do at the end, per architecture.
SPIN = {"x86_64": bytes.fromhex("ebfe"), "arm64": bytes.fromhex("00000014")}
CRASH = {
    "x86_64": bytes.fromhex("0f0b"),  # ud2: there is no IDT, so the processor gives up
    "arm64": bytes.fromhex("00008052 00001fd6"),  # mov w0, #0; br x0: fetch from nowhere
}
WAIT = {"x86_64": bytes.fromhex("f4ebfd"), "arm64": bytes.fromhex("7f2003d5 ffffff17")}


def text_offset(arch: str, index: int) -> int:
    """Return the gpa of string ``index`` in the data page."""
    return MEMORY_MAPS[arch].kernel + PAGE + 0x800 + 0x100 * index  # type: ignore[index]


def request(service: int, *arguments: int) -> bytes:
    """Return a request block."""
    return struct.pack("<IIq6Q", service, 0, 0, *arguments, *[0] * (6 - len(arguments)))


def write_kernel(
    path: Path,
    arch: str,
    requests: list[bytes],
    end: bytes,
    texts: tuple[bytes, ...] = (),
) -> Path:
    """Write a kernel that rings for each request, then runs ``end``."""
    where = MEMORY_MAPS[arch]  # type: ignore[index]
    data_gpa = where.kernel + PAGE
    code = _ring(arch, data_gpa, len(requests)) + end
    data = bytearray(PAGE)
    data[: 64 * len(requests)] = b"".join(requests)
    for index, text in enumerate(texts):
        start = 0x800 + 0x100 * index
        data[start : start + len(text)] = text
    note = struct.pack("<III8sI", 8, 4, 1, b"Calypso\0", abi.ABI_VERSION)
    segments = [
        _segment(1, 5, PAGE, where.direct_map, where.kernel, PAGE, PAGE),
        _segment(1, 6, 2 * PAGE, where.direct_map, data_gpa, PAGE, PAGE),
        _segment(4, 4, 0x800, 0, 0, len(note), 4),
    ]
    entry = where.direct_map + where.kernel
    machine = MACHINES[arch]
    fields = (2, machine, 1, entry, HEADER, 0, 0, HEADER, 56, len(segments), 64, 0, 0)
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *fields)
    image = bytearray(PAGE)
    image[: len(header)] = header
    image[HEADER : HEADER + 56 * len(segments)] = b"".join(segments)
    image[0x800 : 0x800 + len(note)] = note
    path.write_bytes(bytes(image) + code.ljust(PAGE, b"\0") + bytes(data))
    return path


def _segment(
    kind: int, flags: int, offset: int, base: int, gpa: int, size: int, align: int
) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, base + gpa, gpa, size, size, align)


def _ring(arch: str, data_gpa: int, count: int) -> bytes:
    """Return code that writes the addresses of ``count`` request blocks to the doorbell.

    A branch to the next instruction follows each write: a kick takes effect at the next block.
    """
    first = data_gpa // 64
    if arch == "x86_64":
        code = b"\x66\xba" + struct.pack("<H", DOORBELL_X86)  # mov dx, doorbell
        for index in range(count):
            code += (
                b"\xb8" + struct.pack("<I", first + index) + b"\xef\xeb\x00"
            )  # mov eax; out dx, eax; jmp
        return code
    code = _move(1, DOORBELL_ARM >> 16, 16, 0xD2800000)  # movz x1, doorbell's high half
    code += _move(1, 0xFFFF, 48, 0xF2800000)  # movk x1, the direct map
    for index in range(count):
        code += _move(0, (first + index) & 0xFFFF, 0, 0x52800000)  # movz w0
        code += _move(0, (first + index) >> 16, 16, 0x72800000)  # movk w0
        code += struct.pack("<II", 0xB9000020, 0x14000001)  # str w0, [x1]; b
    return code


def _move(register: int, immediate: int, shift: int, opcode: int) -> bytes:
    return struct.pack("<I", opcode | shift // 16 << 21 | immediate << 5 | register)
