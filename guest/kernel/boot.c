/* The order of boot. */
#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/stack.h>

void kernel_main(physical_t bootinfo_address)
{
	bootinfo_initialize(bootinfo_address);
	stacks_initialize();
	early_devices();
	frames_initialize();
	paging_initialize();
	program_start();
}
