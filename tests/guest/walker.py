"""Page tables as the processors read them, for tables that the guest has built."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vmm.memory import GuestMemory

ADDRESS = 0x0000_FFFF_FFFF_F000


@dataclass(frozen=True)
class Block:
    """What one entry maps.

    Attributes:
        write: whether the owner of that half may write.
        execute: whether the owner of that half may execute.
        user: whether the program may use it.
    """

    virtual: int
    physical: int
    size: int
    write: bool
    execute: bool
    user: bool
    device: bool


def walk_x86_64(memory: GuestMemory, cr3: int) -> list[Block]:
    """All that CR3 maps (SDM volume 3A, 4.5)."""
    return list(_x86(memory, cr3 & ADDRESS, 3, 0, True, True, True))


def walk_arm64(memory: GuestMemory, ttbr0: int, ttbr1: int) -> list[Block]:
    """All that both TTBRs map (Arm ARM, D8.3; 4 KiB granule, 48 bits)."""
    lower = _arm(memory, ttbr0 & ADDRESS, 3, 0)
    upper = _arm(memory, ttbr1 & ADDRESS, 3, 0xFFFF << 48)
    return [*lower, *upper]


def _entries(memory: GuestMemory, table: int) -> Iterator[tuple[int, int]]:
    return enumerate(struct.unpack("<512Q", memory.read(table, 4096)))


def _x86(
    memory: GuestMemory, table: int, level: int, base: int, write: bool, user: bool, execute: bool
) -> Iterator[Block]:
    size = 1 << (12 + 9 * level)
    for index, entry in _entries(memory, table):
        if not entry & 1:
            continue
        virtual = base + index * size
        if level == 3 and index >= 256:
            virtual |= 0xFFFF << 48
        here = (
            write and bool(entry & 2),
            user and bool(entry & 4),
            execute and not entry >> 63,
        )
        address = entry & 0x000F_FFFF_FFFF_F000
        if level > 0 and not entry & 0x80:
            yield from _x86(memory, address, level - 1, virtual, *here)
            continue
        assert level < 3, "bit 7 is reserved in a PML4 entry"
        assert address % size == 0, "a page begins at a multiple of its size"
        yield Block(virtual, address, size, here[0], here[2], here[1], bool(entry & 0x18))


def _arm(memory: GuestMemory, table: int, level: int, base: int) -> Iterator[Block]:
    size = 1 << (12 + 9 * level)
    for index, entry in _entries(memory, table):
        if not entry & 1:
            continue
        virtual = base + index * size
        address = entry & ADDRESS
        if level > 0 and entry & 2:
            assert entry >> 59 == 0, "no attributes for what is below"
            yield from _arm(memory, address, level - 1, virtual)
            continue
        assert level < 3, "level 0 has no blocks"
        assert bool(entry & 2) == (level == 0), "a page, or a block"
        assert address % size == 0
        assert entry >> 10 & 1, "the access flag is set: no fault maintains it"
        user = bool(entry >> 6 & 1)
        owner_never_executes = entry >> (54 if user else 53) & 1
        other_never_executes = entry >> (53 if user else 54) & 1
        assert other_never_executes, "a page is executed from one level only"
        device = entry >> 2 & 7 == 0
        yield Block(
            virtual, address, size, not entry >> 7 & 1, not owner_never_executes, user, device
        )
