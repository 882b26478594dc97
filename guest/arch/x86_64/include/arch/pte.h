/* x86_64: page-table entries (SDM volume 3, 5.5.4).
 *
 * Levels count from the page: 0 maps 4 KiB, 1 2 MiB, 2 1 GiB; PAGE_TABLE_ROOT is the level of the
 * root. Rights are PROT_READ, PROT_WRITE, PROT_EXEC or their namesakes of enum
 * calypso_region_flag, which have the same values.
 */
#ifndef ARCH_PTE_H
#define ARCH_PTE_H

#include <calypso/mm.h>
#include <calypso/types.h>

typedef uint64_t pte_t;

#define PAGE_TABLE_ROOT 3

#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE (1ull << 1)
#define PTE_USER (1ull << 2)
#define PTE_UNCACHED (3ull << 3) /* PCD and PWT */
#define PTE_ACCESSED (1ull << 5)
#define PTE_DIRTY (1ull << 6)
#define PTE_BLOCK (1ull << 7) /* PS: maps memory above level 0 */
#define PTE_OWNED (1ull << 9) /* ours: the frame is freed with the entry */
#define PTE_NO_EXECUTE (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

static inline pte_t pte_table(physical_t table, bool user)
{
	return table | PTE_PRESENT | PTE_WRITE | (user ? PTE_USER : 0);
}

static inline bool pte_is_table(pte_t entry, unsigned level)
{
	return level > 0 && (entry & (PTE_PRESENT | PTE_BLOCK)) == PTE_PRESENT;
}

static inline bool pte_is_present(pte_t entry)
{
	return (entry & PTE_PRESENT) != 0;
}

static inline physical_t pte_address(pte_t entry)
{
	return entry & PTE_ADDRESS;
}

static inline bool pte_is_writable(pte_t entry)
{
	return (entry & PTE_WRITE) != 0;
}

/* Accessed and dirty are set from the start: nobody looks at them, and the processor need not. */
static inline pte_t pte_rights(unsigned rights)
{
	return PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY | ((rights & PROT_WRITE) ? PTE_WRITE : 0) |
	       ((rights & PROT_EXEC) ? 0 : PTE_NO_EXECUTE);
}

static inline pte_t pte_kernel(physical_t page, unsigned rights, bool device, unsigned level)
{
	return page | pte_rights(rights) | (device ? PTE_UNCACHED : 0) | (level ? PTE_BLOCK : 0);
}

/* Without rights the entry is not present and still keeps its frame. */
static inline pte_t pte_user(physical_t page, unsigned rights)
{
	if ((rights & (PROT_READ | PROT_WRITE | PROT_EXEC)) == 0)
		return page | PTE_USER;
	return page | pte_rights(rights) | PTE_USER;
}

#endif
