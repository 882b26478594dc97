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

static inline void arch_pause(void)
{
	__asm__ volatile("pause");
}

/* All loads and stores before it come before all after it, for other processors and devices. */
static inline void arch_memory_barrier(void)
{
	__asm__ volatile("lock; addl $0, (%%rsp)" ::: "memory", "cc");
}

/* Ring the doorbell at I/O port `where`. The host may have changed any memory afterwards. */
static inline void arch_doorbell(uint64_t where, uint32_t word)
{
	__asm__ volatile("outl %0, %w1" ::"a"(word), "Nd"(where) : "memory");
}

/* The same with interrupts unmasked: those that are pending when the host has answered are taken. STI
 * lets one more instruction pass before; between others a hypervisor may fail to look. */
static inline void arch_doorbell_interruptible(uint64_t where, uint32_t word)
{
	__asm__ volatile("sti; outl %0, %w1; cli" ::"a"(word), "Nd"(where) : "memory");
}

/* Registers of a device: on x86_64 an I/O port, as early serial ports are. */
static inline uint8_t arch_port_read(uint64_t port)
{
	uint8_t value;

	__asm__ volatile("inb %w1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void arch_port_write(uint64_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %w1" ::"a"(value), "Nd"(port));
}

#endif
