"""Small unikernels for Solo5's hvt that make a list of hypercalls, built field by field."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tests.vmm.backends.assemble import assemble
from tests.vmm.images.elf_maker import PT_INTERP, PT_LOAD, PT_NOTE, ElfMaker, Part, R, W, X, note

BASE = 0x10_0000
TABLE = 0x10_1000  # of the calls to make, in the read-only segment
DATA = 0x10_2000
ROOM = 0x1000  # for each call's structure, and what that points to

ABI_NOTE, MANIFEST_NOTE = 0x3149_4241, 0x3154_464D
BLOCK, NETWORK, RESERVED_FIRST = 1, 2, 1 << 30

WALLTIME, PUTS, POLL, BLOCK_WRITE, BLOCK_READ, NET_WRITE, NET_READ, HALT = range(1, 9)

# Each makes the calls of the table one after the other, having put the argument of its entry, the
# address of the boot information, in front of the data.
_CODE = {
    "x86_64": """
        mov esi, 0x101000
        mov eax, 0x102000
        mov [rax], rdi
    1:  mov edx, [rsi]
        mov eax, [rsi + 4]
        add rsi, 8
        add edx, 0x500
        out dx, eax
        jmp 1b
    """,
    "arm64": """
        movz x1, #0x10, lsl #16
        movk x1, #0x1000
        movz x2, #0x10, lsl #16
        movk x2, #0x2000
        str x0, [x2]
        movz x3, #1, lsl #32
    1:  ldp w4, w5, [x1], #8
        lsl x4, x4, #3
        str w5, [x3, x4]
        b 1b
    """,
}

_ENTRY = struct.Struct("<68sI16s8x?7x")


def entry(name: bytes, kind: int, attached: bool = False) -> bytes:
    """An entry of a manifest."""
    return _ENTRY.pack(name, kind, b"", attached)


def manifest(*devices: tuple[str, int], version: int = 1, count: int | None = None) -> bytes:
    """The description of a manifest's note."""
    entries = [entry(b"", RESERVED_FIRST), *[entry(n.encode(), kind) for n, kind in devices]]
    count = len(entries) if count is None else count
    return bytes(4) + struct.pack("<II", version, count) + b"".join(entries)


def abi(target: int = 1, version: int = 2) -> bytes:
    """The description of the note of the ABI."""
    return struct.pack("<4I", target, version, 0, 0)


def place(index: int) -> int:
    """Return where the structure of a unikernel's call ``index`` is."""
    return DATA + ROOM * (index + 1)


def unikernel(
    arch: str,
    calls: Sequence[tuple[int, bytes]] = (),
    *devices: tuple[str, int],
    abi_note: bytes | None = None,
    manifest_note: bytes | None = None,
) -> bytes:
    """A unikernel that makes ``calls``, each a number and its structure, and asks for devices."""
    code = assemble(arch, _CODE[arch], BASE).code
    table = b"".join(struct.pack("<II", n, place(i)) for i, (n, _) in enumerate(calls))
    data = bytes(ROOM) + b"".join(content.ljust(ROOM, b"\0") for _, content in calls)
    notes = note(b"Solo5", ABI_NOTE, abi() if abi_note is None else abi_note)
    described = manifest(*devices) if manifest_note is None else manifest_note
    return ElfMaker(
        arch=arch,
        entry=BASE,
        parts=[
            Part(PT_INTERP, R, BASE, b"/nonexistent/solo5/".ljust(24, b"\0"), alignment=8),
            Part(PT_LOAD, X, BASE, code),
            Part(PT_LOAD, R, TABLE, table.ljust(8, b"\0")),
            Part(PT_LOAD, R | W, DATA, data),
            Part(PT_NOTE, R, 0, notes, alignment=4),
            Part(PT_NOTE, R, 0, note(b"Solo5", MANIFEST_NOTE, described), alignment=4),
        ],
    ).build()


def puts(index: int, text: bytes) -> tuple[int, bytes]:
    """The call that prints ``text``, as number ``index``."""
    return PUTS, struct.pack("<QQ", place(index) + 16, len(text)) + text


def transfer(number: int, index: int, handle: int, offset: int, data: bytes) -> tuple[int, bytes]:
    """A call of a block device for as many bytes as ``data``, which is behind its structure."""
    where = place(index) + 0x100
    fields = struct.pack("<QQQQi", handle, offset, where, len(data), -1)
    return number, fields.ljust(0x100, b"\0") + data


def poll(timeout: int) -> tuple[int, bytes]:
    """The call that waits ``timeout`` nanoseconds for a network."""
    return POLL, struct.pack("<QQi", timeout, 0, -1)


def halt(status: int, cookie: int = 0) -> tuple[int, bytes]:
    """The call that ends the run."""
    return HALT, struct.pack("<Qi", cookie, status)
