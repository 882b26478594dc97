/* x86_64: loads and stores of device registers. */
#ifndef ARCH_MMIO_H
#define ARCH_MMIO_H

#include <calypso/types.h>

#define MMIO_ACCESS(bits, instruction, constraint)                                               \
	static inline uint##bits##_t arch_mmio_read##bits(const void *address)                   \
	{                                                                                        \
		uint##bits##_t value;                                                            \
                                                                                                 \
		__asm__ volatile(instruction " %1, %0"                                           \
				 : "=" constraint(value)                                         \
				 : "m"(*(const volatile uint##bits##_t *)address)                \
				 : "memory");                                                    \
		return value;                                                                    \
	}                                                                                        \
	static inline void arch_mmio_write##bits(void *address, uint##bits##_t value)            \
	{                                                                                        \
		__asm__ volatile(instruction " %1, %0"                                           \
				 : "=m"(*(volatile uint##bits##_t *)address)                     \
				 : constraint(value)                                             \
				 : "memory");                                                    \
	}

MMIO_ACCESS(8, "movb", "q")
MMIO_ACCESS(16, "movw", "r")
MMIO_ACCESS(32, "movl", "r")

#undef MMIO_ACCESS

#endif
