/* x86_64: virtual memory, 48 bits.
 *
 *   0000_0000_0000_0000  page 0, never mapped
 *   0000_0000_0001_0000  the program (USER_START, vm.mmap_min_addr of Linux)
 *   0000_7fff_ffff_f000  USER_END; the last page stays empty, so that no return address into it
 *                        can become non-canonical
 *   ffff_8000_0000_0000  nothing: a hypervisor that runs user mode directly may be here
 *   ffff_9000_0000_0000  DIRECT_MAP_BASE: physical memory and device registers, 64 TiB
 *   ffff_d000_0000_0000  KERNEL_STACKS: stacks between guard pages
 */
#ifndef ARCH_LAYOUT_H
#define ARCH_LAYOUT_H

#define USER_START 0x0000000000010000ull
#define USER_END 0x00007ffffffff000ull
#define DIRECT_MAP_BASE 0xffff900000000000ull
#define DIRECT_MAP_SIZE 0x0000400000000000ull
#define KERNEL_STACKS 0xffffd00000000000ull

#endif
