"""Translation tables of arm64: VMSAv8-64 stage 1, 4 KiB granule, 48 bits (Arm ARM, D8.3).

Memory attributes are indices into the MAIR_EL1 that the firmware sets: 0 Device-nGnRnE, 1 Normal
write-back.
"""

from __future__ import annotations

from vmm.boot.pagetables import EXECUTE, WRITE, LeafBits, Mapping, build_tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from vmm.memory import GuestMemory

VALID: Final = 1 << 0
TABLE_OR_PAGE: Final = 1 << 1  # at the last level a page; above it a table, where 0 is a block
ATTR_NORMAL: Final = 1 << 2  # AttrIndx, bits 4:2
AP_READ_ONLY: Final = 1 << 7  # AP[2]; AP[1] stays 0: nothing is for EL0
INNER_SHAREABLE: Final = 3 << 8
ACCESS_FLAG: Final = 1 << 10
PXN: Final = 1 << 53
UXN: Final = 1 << 54

TABLE: Final = VALID | TABLE_OR_PAGE


def build(memory: GuestMemory, allocate: Callable[[], int], mappings: Iterable[Mapping]) -> int:
    """Write tables for ``mappings`` and return the value for a TTBR; see `build_tables`."""
    return build_tables(memory, allocate, mappings, TABLE, _leaf_bits)


def _leaf_bits(mapping: Mapping) -> LeafBits:
    bits = VALID | ACCESS_FLAG | UXN
    if not mapping.rights & WRITE:
        bits |= AP_READ_ONLY
    if not mapping.rights & EXECUTE:
        bits |= PXN
    if not mapping.device:
        bits |= ATTR_NORMAL | INNER_SHAREABLE
    return LeafBits(bits | TABLE_OR_PAGE, bits)
