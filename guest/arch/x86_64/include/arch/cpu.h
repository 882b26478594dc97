/* x86_64: short instructions. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <calypso/types.h>

/* The counter whose rate is bootinfo's counter_hz: the TSC. */
static inline uint64_t arch_counter(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline void arch_pause(void) { __asm__ volatile("pause"); }

#endif
