/* The steps of boot, in the order in which `kernel_main` takes them. */
#ifndef CALYPSO_BOOT_H
#define CALYPSO_BOOT_H

#include <arch/mmu.h>
#include <calypso/types.h>

/* Processor state that lasts: traps, system calls, floating point for the program. From entry.S. */
void arch_initialize(void);

/* Entered from entry.S with the initial page tables, on the boot stack. */
noreturn void kernel_main(physical_t bootinfo_address);

/* Check bootinfo and copy it. Nothing before may use it. */
void bootinfo_initialize(physical_t address);

/* Devices that the kernel itself needs add their registers to bootinfo's regions. The last step
 * before the new page table. */
void early_devices(void);

/* Take all free memory. Only what the initial tables map is touched. */
void frames_initialize(void);

/* Build the kernel's page table from bootinfo's regions. */
void paging_initialize(void);

/* Switch from the initial tables to the kernel's, once; BOOT memory is free from then on, except what
 * bootinfo points to. The last step before the program runs, or earlier when something is touched
 * that the initial tables lack. False where there was nothing to switch. */
bool paging_activate(void);

/* The same for the last step, which makes the switch itself, from the kernel's image and the boot stack
 * alone: the roots to switch to. */
struct page_roots paging_begin(void);

/* Whether that has happened. Before, the program's half is built but not in use. */
bool paging_is_active(void);

/* The image and the stacks of boot, from kernel.ld. */
extern char kernel_start[], kernel_end[];
extern char boot_stack_bottom[], boot_stack_top[];
extern char emergency_stack_bottom[], emergency_stack_top[];

#endif
