/* The kernel's memory map for tests on the host: "physical" memory is a mapping of the process,
 * and the program's half has addresses that nobody ever dereferences. */
#ifndef ARCH_LAYOUT_H
#define ARCH_LAYOUT_H

#include <stdint.h>

extern uint64_t host_direct_map;

#define USER_START 0x0000000000010000ull
#define USER_END 0x00007ffffffff000ull
#define DIRECT_MAP_BASE host_direct_map
#define DIRECT_MAP_SIZE 0x0000400000000000ull

#endif
