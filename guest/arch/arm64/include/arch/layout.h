/* arm64: virtual memory, 4 KiB granule, 48 bits for each half.
 *
 *   0000_0000_0000_0000  page 0, never mapped
 *   0000_0000_0001_0000  the program (USER_START, vm.mmap_min_addr of Linux)
 *   0001_0000_0000_0000  USER_END
 *   ffff_0000_0000_0000  DIRECT_MAP_BASE: physical memory and device registers, 128 TiB
 *   ffff_8000_0000_0000  KERNEL_STACKS: stacks between guard pages
 */
#ifndef ARCH_LAYOUT_H
#define ARCH_LAYOUT_H

#define USER_START 0x0000000000010000ull
#define USER_END 0x0001000000000000ull
#define DIRECT_MAP_BASE 0xffff000000000000ull
#define DIRECT_MAP_SIZE 0x0000800000000000ull
#define KERNEL_STACKS 0xffff800000000000ull

#endif
