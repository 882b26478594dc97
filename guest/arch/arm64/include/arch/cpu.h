/* arm64: short instructions. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <calypso/types.h>

/* The counter whose rate is bootinfo's counter_hz: CNTVCT_EL0. */
static inline uint64_t arch_counter(void)
{
	uint64_t value;
	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(value)::"memory");
	return value;
}

static inline void arch_pause(void) { __asm__ volatile("yield"); }

#endif
