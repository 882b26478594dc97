/* arm64: what the page tables need from the processor. */
#ifndef ARCH_MMU_H
#define ARCH_MMU_H

#include <arch/pte.h>
#include <calypso/types.h>

/* The roots of the kernel's and the program's half: TTBR1_EL1 and TTBR0_EL1. */
struct page_roots {
	physical_t kernel;
	physical_t user;
};

#define PAGE_ROOTS_SHARED false

/* Whether entries of this level can map memory. */
static inline bool arch_has_block(unsigned level)
{
	return level == 1 || level == 2;
}

/* Boot runs with the kernel's privilege from the start. */
static inline void arch_require_privilege(void) {}

/* The image is mapped by pages in the old and the new table alike, and nothing but code of the
 * image is touched before the old translations are gone: so no break before make is needed. */
static inline void arch_switch_tables(struct page_roots roots)
{
	__asm__ volatile("dsb ishst\n\t"
			 "msr ttbr1_el1, %0\n\t"
			 "msr ttbr0_el1, %1\n\t"
			 "isb\n\t"
			 "tlbi vmalle1\n\t"
			 "dsb nsh\n\t"
			 "isb" ::"r"(roots.kernel),
			 "r"(roots.user)
			 : "memory");
}

static inline void arch_flush_page(uint64_t address)
{
	const uint64_t page_bits = (1ull << 44) - 1;

	__asm__ volatile("dsb ishst; tlbi vaae1is, %0; dsb ish; isb" ::"r"(
				 (address >> PAGE_SHIFT) & page_bits)
			 : "memory");
}

static inline void arch_flush_all(void)
{
	__asm__ volatile("dsb ishst; tlbi vmalle1is; dsb ish; isb" ::: "memory");
}

/* Entries that were empty until now take effect. */
static inline void arch_entries_written(void)
{
	__asm__ volatile("dsb ishst; isb" ::: "memory");
}

/* The instruction fetch sees what was written. */
void arch_sync_code(const void *code, size_t length);

#endif
