/* Page tables of x86_64, without a processor that looks at them. */
#ifndef ARCH_MMU_H
#define ARCH_MMU_H

#include <arch/pte.h>
#include <calypso/types.h>

struct page_roots {
	physical_t kernel;
	physical_t user;
};

static inline bool arch_has_block(unsigned level)
{
	return level == 1 || level == 2;
}

static inline void arch_flush_page(uint64_t address)
{
	(void)address;
}

static inline void arch_flush_all(void) {}
static inline void arch_entries_written(void) {}

static inline void arch_sync_code(const void *code, size_t length)
{
	(void)code, (void)length;
}

#endif
