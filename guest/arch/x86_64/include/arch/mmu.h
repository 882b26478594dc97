/* x86_64: what the page tables need from the processor. */
#ifndef ARCH_MMU_H
#define ARCH_MMU_H

#include <arch/pte.h>
#include <calypso/types.h>

/* The roots of the kernel's and the program's half; here one table holds both. */
struct page_roots {
	physical_t kernel;
	physical_t user;
};

/* Both halves share a root table. */
#define PAGE_ROOTS_SHARED true

/* Whether entries of this level can map memory. */
bool arch_has_gigabyte_pages(void);

static inline bool arch_has_block(unsigned level)
{
	return level == 1 || (level == 2 && arch_has_gigabyte_pages());
}

/* End what entry.S says of boot: a trap on CLI in ring 3 (trap.S), nothing in ring 0. */
static inline void arch_require_privilege(void)
{
	__asm__ volatile("cli" ::: "memory");
}

static inline void arch_switch_tables(struct page_roots roots)
{
	__asm__ volatile("mov %0, %%cr3" ::"r"(roots.kernel) : "memory");
}

static inline void arch_flush_page(uint64_t address)
{
	__asm__ volatile("invlpg (%0)" ::"r"(address) : "memory");
}

static inline void arch_flush_all(void)
{
	uint64_t root;

	__asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(root)::"memory");
}

/* Entries that were empty until now take effect without a flush. */
static inline void arch_entries_written(void) {}

/* The instruction fetch sees what was written. */
static inline void arch_sync_code(const void *code, size_t length)
{
	(void)code, (void)length;
}

#endif
