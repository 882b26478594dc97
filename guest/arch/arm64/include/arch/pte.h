/* arm64: translation table descriptors, 4 KiB granule (Arm ARM, D8.3).
 *
 * Levels count from the page: 0 maps 4 KiB (Arm's level 3), 1 2 MiB, 2 1 GiB; PAGE_TABLE_ROOT is
 * the level of the root. Rights are PROT_READ, PROT_WRITE, PROT_EXEC or their namesakes of enum
 * calypso_region_flag, which have the same values.
 */
#ifndef ARCH_PTE_H
#define ARCH_PTE_H

#include <calypso/mm.h>
#include <calypso/types.h>

typedef uint64_t pte_t;

#define PAGE_TABLE_ROOT 3

#define PTE_VALID (1ull << 0)
#define PTE_TABLE (1ull << 1)  /* a table above level 0, a page at level 0 */
#define PTE_DEVICE (0ull << 2) /* AttrIndx of MAIR_EL1, see firmware/arm64/entry.S */
#define PTE_NORMAL (1ull << 2)
#define PTE_USER (1ull << 6)	  /* AP[1]: EL0 may too */
#define PTE_READ_ONLY (1ull << 7) /* AP[2] */
#define PTE_INNER_SHAREABLE (3ull << 8)
#define PTE_ACCESSED (1ull << 10)
#define PTE_NOT_GLOBAL (1ull << 11)
#define PTE_KERNEL_NO_EXECUTE (1ull << 53)
#define PTE_USER_NO_EXECUTE (1ull << 54)
#define PTE_OWNED (1ull << 55) /* ours: the frame is freed with the entry */
#define PTE_ADDRESS 0x0000fffffffff000ull

static inline pte_t pte_table(physical_t table, bool user)
{
	(void)user;
	return table | PTE_VALID | PTE_TABLE;
}

static inline bool pte_is_table(pte_t entry, unsigned level)
{
	return level > 0 && (entry & (PTE_VALID | PTE_TABLE)) == (PTE_VALID | PTE_TABLE);
}

static inline bool pte_is_present(pte_t entry)
{
	return (entry & PTE_VALID) != 0;
}

static inline physical_t pte_address(pte_t entry)
{
	return entry & PTE_ADDRESS;
}

static inline bool pte_is_writable(pte_t entry)
{
	return (entry & PTE_READ_ONLY) == 0;
}

static inline pte_t pte_kernel(physical_t page, unsigned rights, bool device, unsigned level)
{
	return page | PTE_VALID | (level ? 0 : PTE_TABLE) |
	       (device ? PTE_DEVICE : PTE_NORMAL | PTE_INNER_SHAREABLE) | PTE_ACCESSED |
	       PTE_USER_NO_EXECUTE | ((rights & PROT_WRITE) ? 0 : PTE_READ_ONLY) |
	       ((rights & PROT_EXEC) ? 0 : PTE_KERNEL_NO_EXECUTE);
}

/* Without rights the entry is not valid and still keeps its frame. */
static inline pte_t pte_user(physical_t page, unsigned rights)
{
	pte_t entry = page | PTE_TABLE | PTE_USER | PTE_NORMAL | PTE_INNER_SHAREABLE |
		      PTE_ACCESSED | PTE_NOT_GLOBAL | PTE_KERNEL_NO_EXECUTE;

	if ((rights & (PROT_READ | PROT_WRITE | PROT_EXEC)) != 0)
		entry |= PTE_VALID;
	if ((rights & PROT_WRITE) == 0)
		entry |= PTE_READ_ONLY;
	if ((rights & PROT_EXEC) == 0)
		entry |= PTE_USER_NO_EXECUTE;
	return entry;
}

#endif
