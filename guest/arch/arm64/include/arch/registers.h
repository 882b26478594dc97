/* arm64: system registers, by the names that the assembler knows. */
#ifndef ARCH_REGISTERS_H
#define ARCH_REGISTERS_H

#include <calypso/types.h>

#define read_register(name)                                    \
	({                                                     \
		uint64_t value_;                               \
		__asm__ volatile("mrs %0, " name : "=r"(value_)); \
		value_;                                        \
	})
#define write_register(name, value) \
	__asm__ volatile("msr " name ", %0" ::"r"((uint64_t)(value)) : "memory")

#endif
