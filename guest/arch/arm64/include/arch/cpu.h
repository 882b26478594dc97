/* arm64: short instructions. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <arch/layout.h>
#include <arch/mmio.h>
#include <calypso/types.h>

/* The counter whose rate is bootinfo's counter_hz: CNTVCT_EL0. */
static inline uint64_t arch_counter(void)
{
	uint64_t value;

	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(value)::"memory");
	return value;
}

static inline void arch_pause(void)
{
	__asm__ volatile("yield");
}

/* All loads and stores before it come before all after it, for other processors and devices. */
static inline void arch_memory_barrier(void)
{
	__asm__ volatile("dmb ish" ::: "memory");
}

/* Ring the doorbell, a register at physical address `where`. The host may have changed any memory
 * afterwards. */
static inline void arch_doorbell(uint64_t where, uint32_t word)
{
	__asm__ volatile("dsb st" ::: "memory");
	arch_mmio_write32((void *)(uintptr_t)(DIRECT_MAP_BASE + where), word);
}

/* The same; interrupts that are pending when the host has answered are taken. */
static inline void arch_doorbell_interruptible(uint64_t where, uint32_t word)
{
	arch_doorbell(where, word);
	__asm__ volatile("msr daifclr, #2; isb; msr daifset, #2" ::: "memory");
}

/* Early serial ports are memory-mapped here. */
static inline uint8_t arch_port_read(uint64_t port)
{
	return arch_mmio_read8((const void *)(uintptr_t)(DIRECT_MAP_BASE + port));
}

static inline void arch_port_write(uint64_t port, uint8_t value)
{
	arch_mmio_write8((void *)(uintptr_t)(DIRECT_MAP_BASE + port), value);
}

#endif
