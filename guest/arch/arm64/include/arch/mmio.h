/* arm64: loads and stores of device registers. */
#ifndef ARCH_MMIO_H
#define ARCH_MMIO_H

#include <calypso/types.h>

/* The addressing mode without write-back: only those are reported with a syndrome. */
#define MMIO_ACCESS(bits, suffix)                                                                \
	static inline uint##bits##_t arch_mmio_read##bits(const void *address)                   \
	{                                                                                        \
		uint##bits##_t value;                                                            \
                                                                                                 \
		__asm__ volatile("ldr" suffix " %w0, [%1]"                                       \
				 : "=r"(value)                                                   \
				 : "r"(address)                                                  \
				 : "memory");                                                    \
		return value;                                                                    \
	}                                                                                        \
	static inline void arch_mmio_write##bits(void *address, uint##bits##_t value)            \
	{                                                                                        \
		__asm__ volatile("str" suffix " %w0, [%1]" ::"r"(value), "r"(address)            \
				 : "memory");                                                    \
	}

MMIO_ACCESS(8, "b")
MMIO_ACCESS(16, "h")
MMIO_ACCESS(32, "")

#undef MMIO_ACCESS

#endif
