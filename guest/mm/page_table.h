/* Page tables: four levels of 512 entries, on both architectures. */
#ifndef MM_PAGE_TABLE_H
#define MM_PAGE_TABLE_H

#include <arch/mmu.h>
#include <calypso/mm.h>

/* The tables in use. */
extern struct page_roots page_roots;

/* Map [virtual, virtual + length) of the kernel's half to physical memory, by the largest pages
 * that fit. Nothing there is mapped yet. Rights: enum calypso_region_flag. False: no memory. */
bool page_table_map(physical_t root, uint64_t virtual, physical_t physical, uint64_t length,
		    unsigned rights, bool device);

/* Unmap one page of the kernel's half that is mapped by itself; its frame. */
physical_t page_table_unmap(physical_t root, uint64_t virtual);

/* Whether the page at `virtual` is mapped, by whatever level. */
bool page_table_is_mapped(physical_t root, uint64_t virtual);

/* The level-0 entry for `address` in the program's half. NULL where there is no table for it, or,
 * with `create`, no memory. Entries up to the next multiple of TABLE_SPAN follow it. */
#define TABLE_SPAN (PAGE_SIZE * 512)
pte_t *user_entry(user_t address, bool create);

/* Nothing is left in [start, end), and nothing was before between [floor, ceiling), which is at
 * least as large: free the tables that translate only that. */
void user_tables_prune(user_t start, user_t end, user_t floor, user_t ceiling);

#endif
