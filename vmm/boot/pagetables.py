"""Four-level page tables of 4 KiB pages: the tree, which both architectures share.

Both translate 48-bit addresses by tables of 512 entries of 8 bytes, and both can map 2 MiB by an
entry of the third table. What the bits of an entry say is the business of
``pagetables_x86_64.py`` and ``pagetables_arm64.py``.
"""

from __future__ import annotations

from struct import pack_into

from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from vmm.memory import GuestMemory

READ: Final = 1 << 0
WRITE: Final = 1 << 1
EXECUTE: Final = 1 << 2

PAGE: Final = 1 << 12
BLOCK: Final = 1 << 21
ENTRIES: Final = 512

_VIRTUAL_MASK: Final = (1 << 48) - 1
_LEVEL_SHIFTS: Final = (39, 30)


@value
class Mapping:
    """A range of virtual addresses to be mapped.

    Attributes:
        virtual: a multiple of 4 KiB.
        physical: what ``virtual`` maps to; a multiple of 4 KiB.
        length: bytes; a multiple of 4 KiB.
        rights: `READ`, maybe with one of `WRITE` and `EXECUTE`; of the kernel, never of user mode.
        device: True for registers: neither cached nor reordered.
    """

    virtual: int
    physical: int
    length: int
    rights: int
    device: bool = False


@value
class LeafBits:
    """What the entries of one mapping hold beside the address: in 4 KiB pages and 2 MiB blocks."""

    page: int
    block: int


def build_tables(
    memory: GuestMemory,
    allocate: Callable[[], int],
    mappings: Iterable[Mapping],
    table_bits: int,
    leaf_bits: Callable[[Mapping], LeafBits],
) -> int:
    """Write tables that map exactly ``mappings``, by 2 MiB wherever alignment allows.

    Args:
        memory: where the tables are written.
        allocate: returns the gpa of a zeroed page each time.
        mappings: disjoint in their virtual addresses.
        table_bits: what an entry that points to a table holds beside its address.
        leaf_bits: what the entries of a mapping hold beside theirs.

    Returns:
        The gpa of the root table.

    Raises:
        ValueError: if mappings overlap, or one is both writable and executable.
    """
    tree = _Tree(memory, allocate, table_bits)
    for mapping in mappings:
        if mapping.rights & WRITE and mapping.rights & EXECUTE:
            raise ValueError(f"{mapping!r} is both writable and executable")
        tree.map(mapping, leaf_bits(mapping))
    return tree.root


class _Tree:
    def __init__(self, memory: GuestMemory, allocate: Callable[[], int], table_bits: int) -> None:
        self._memory = memory
        self._allocate = allocate
        self._table_bits = table_bits
        # The tables whose entries are leaves, by the first address they translate.
        self._page_tables: dict[int, memoryview] = {}
        self._block_tables: dict[int, memoryview] = {}
        self.root = allocate()
        self._root_view = self._view(self.root)

    def map(self, mapping: Mapping, bits: LeafBits) -> None:
        virtual = mapping.virtual & _VIRTUAL_MASK
        distance = mapping.physical - virtual
        end = virtual + mapping.length
        blocks_fit = distance % BLOCK == 0
        while virtual < end:
            if blocks_fit and virtual % BLOCK == 0 and end - virtual >= BLOCK:
                table, step, leaf = self._block_table(virtual), BLOCK, bits.block
            else:
                table, step, leaf = self._page_table(virtual), PAGE, bits.page
            # Fill the table up to its end, or as far as whole steps of the mapping reach.
            index = virtual // step % ENTRIES
            count = min(ENTRIES - index, (end - virtual) // step)
            first = virtual + distance | leaf
            _fill(table, index, count, first, step)
            virtual += count * step

    def _block_table(self, virtual: int) -> memoryview:
        """Return the third-level table for ``virtual``: 1 GiB by entries of 2 MiB."""
        key = virtual >> 30
        table = self._block_tables.get(key)
        if table is None:
            table = self._root_view
            for shift in _LEVEL_SHIFTS:
                table = self._descend(table, virtual >> shift & 511)
            self._block_tables[key] = table
        return table

    def _page_table(self, virtual: int) -> memoryview:
        """Return the fourth-level table for ``virtual``: 2 MiB by entries of 4 KiB."""
        key = virtual >> 21
        table = self._page_tables.get(key)
        if table is None:
            table = self._descend(self._block_table(virtual), key & 511, new=True)
            self._page_tables[key] = table
        return table

    def _descend(self, table: memoryview, index: int, new: bool = False) -> memoryview:
        """Return the table behind an entry, making it where there is none."""
        entry: int = table[index]
        if entry == 0:
            address = self._allocate()
            table[index] = address | self._table_bits
        elif new:
            raise ValueError("mappings overlap: a page inside a block")
        else:
            address = entry & _VIRTUAL_MASK & -PAGE
        return self._view(address)

    def _view(self, table: int) -> memoryview:
        """Return the entries of a table. The hosts are little-endian too, as the tables are."""
        return self._memory.view(table, PAGE).cast("Q")


def _fill(table: memoryview, index: int, count: int, first: int, step: int) -> None:
    if any(table[index : index + count]):
        raise ValueError(f"mappings overlap at entry {index}, which would be {first:#x}")
    pack_into(f"<{count}Q", table, index * 8, *range(first, first + count * step, step))
