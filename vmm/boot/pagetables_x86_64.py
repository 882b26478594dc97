"""Page tables of x86_64 in long mode (SDM volume 3A, 4.5: 4-level paging).

User mode has the same rights as the kernel: these tables are for boot, and our kernel's boot runs
there as far as it can, which is faster where a hypervisor emulates the kernel's mode.
"""

from __future__ import annotations

from vmm.boot.pagetables import EXECUTE, WRITE, LeafBits, Mapping, build_tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from vmm.memory import GuestMemory

PRESENT: Final = 1 << 0
WRITABLE: Final = 1 << 1
USER: Final = 1 << 2
WRITE_THROUGH: Final = 1 << 3
CACHE_DISABLE: Final = 1 << 4
ACCESSED: Final = 1 << 5
DIRTY: Final = 1 << 6
PAGE_SIZE: Final = 1 << 7
NO_EXECUTE: Final = 1 << 63

# Accessed and dirty from the start: the processor then never writes to the tables.
TABLE: Final = PRESENT | WRITABLE | USER | ACCESSED


def build(memory: GuestMemory, allocate: Callable[[], int], mappings: Iterable[Mapping]) -> int:
    """Write tables for ``mappings`` and return the value for CR3; see `build_tables`."""
    return build_tables(memory, allocate, mappings, TABLE, _leaf_bits)


def _leaf_bits(mapping: Mapping) -> LeafBits:
    bits = PRESENT | USER | ACCESSED
    if mapping.rights & WRITE:
        bits |= WRITABLE | DIRTY
    if not mapping.rights & EXECUTE:
        bits |= NO_EXECUTE
    if mapping.device:
        # With the PAT of reset: UC, whatever the MTRRs say.
        bits |= CACHE_DISABLE | WRITE_THROUGH
    return LeafBits(bits, bits | PAGE_SIZE)
