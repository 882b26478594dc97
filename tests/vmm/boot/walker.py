"""Page-table walkers written from the manuals, to check what the builders wrote.

Unlike a builder these go from the root downwards, one entry at a time, accumulate rights over the
levels as the hardware does, and refuse every bit that the manuals do not define.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from vmm.memory import GuestMemory


@dataclass(frozen=True)
class Span:
    """A range of virtual addresses with one physical distance and one set of rights."""

    virtual: int
    physical: int
    length: int
    write: bool
    execute: bool
    user: bool = False
    device: bool = False


def walk_x86_64(memory: GuestMemory, cr3: int) -> list[Span]:
    """All that CR3 maps, with canonical addresses (SDM volume 3A, 4.5.4)."""
    assert cr3 & 0xFFF == 0
    return merge(
        replace(span, virtual=canonical(span.virtual)) for span in _walk_x86(memory, cr3, 4, 0)
    )


def walk_arm64(memory: GuestMemory, root: int, upper: bool) -> list[Span]:
    """All that TTBR1_EL1 (``upper``) or TTBR0_EL1 maps (Arm ARM, D8.3.1)."""
    assert root & 0xFFF == 0
    base = 0xFFFF << 48 if upper else 0
    return merge(
        replace(span, virtual=base | span.virtual) for span in _walk_arm(memory, root, 0, 0)
    )


def canonical(address: int) -> int:
    return address | 0xFFFF << 48 if address >> 47 & 1 else address


def _entries(memory: GuestMemory, table: int) -> Iterator[tuple[int, int]]:
    for index, (entry,) in enumerate(struct.iter_unpack("<Q", memory.read(table, 4096))):
        if entry:
            yield index, entry


def _walk_x86(memory: GuestMemory, table: int, level: int, base: int) -> Iterator[Span]:
    size = 1 << (12 + 9 * (level - 1))
    for index, entry in _entries(memory, table):
        present, write, user, write_through, cache_disable, accessed, dirty, large = (
            bool(entry >> bit & 1) for bit in range(8)
        )
        no_execute = bool(entry >> 63)
        assert present, "a non-zero entry is present"
        assert accessed, "the processor need not write to the tables"
        assert entry >> 8 & 0xF == 0, "global and ignored bits are clear"
        assert entry >> 52 & 0x7FF == 0, "reserved and ignored bits are clear"
        address = entry & 0x000F_FFFF_FFFF_F000
        virtual = base + index * size
        assert level < 3 or not large, "1 GiB pages are not everywhere"
        if level > 1 and not large:
            assert not write_through
            assert not cache_disable
            assert not dirty
            for span in _walk_x86(memory, address, level - 1, virtual):
                yield replace(
                    span,
                    write=span.write and write,
                    execute=span.execute and not no_execute,
                    user=span.user and user,
                )
            continue
        assert large == (level == 2), "in the last table bit 7 is PAT"
        assert address % size == 0, "a page begins at a multiple of its size"
        assert dirty == write
        assert write_through == cache_disable, "write-back or uncached"
        yield Span(virtual, address, size, write, not no_execute, user, cache_disable)


def _walk_arm(memory: GuestMemory, table: int, level: int, base: int) -> Iterator[Span]:
    size = 1 << (12 + 9 * (3 - level))
    for index, entry in _entries(memory, table):
        virtual = base + index * size
        kind = entry & 0b11
        address = entry & 0x0000_FFFF_FFFF_F000
        if level < 3 and kind == 0b11:
            assert entry & ~0x0000_FFFF_FFFF_F003 == 0, "no hierarchical attributes, nothing else"
            yield from _walk_arm(memory, address, level + 1, virtual)
            continue
        assert kind == (0b11 if level == 3 else 0b01), "a page, or a block"
        assert level >= 2
        assert address % size == 0
        attributes, shareability = entry >> 2 & 7, entry >> 8 & 3
        assert attributes in (0, 1), "Device-nGnRnE or Normal write-back"
        assert shareability == (3 if attributes else 0)
        assert entry >> 10 & 1, "access flag: there is no handler for its fault"
        assert entry & (1 << 5 | 1 << 11) == 0, "NS and nG"
        assert entry >> 48 & 0x1F == 0
        assert entry >> 55 == 0
        privileged, read_only = not entry >> 6 & 1, entry >> 7 & 1
        assert entry >> 54 & 1, "UXN: no user mode executes here"
        pxn = entry >> 53 & 1
        yield Span(virtual, address, size, not read_only, not pxn, not privileged, attributes == 0)


def merge(spans: Iterable[Span]) -> list[Span]:
    """Join neighbours that translate alike, so that page sizes do not matter."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.virtual):
        if merged:
            last = merged[-1]
            assert last.virtual + last.length <= span.virtual, "each address is mapped once"
            continued = replace(
                span,
                virtual=last.virtual,
                physical=last.physical,
                length=last.length,
            )
            adjacent = last.virtual + last.length == span.virtual
            if continued == last and adjacent and last.physical + last.length == span.physical:
                merged[-1] = replace(last, length=last.length + span.length)
                continue
        merged.append(span)
    return merged
