/* arm64: early devices, which bootinfo names: doorbell, console, interrupt controller. Their registers
 * become regions, and so part of the kernel's page table, wherever in the address space they are. */
#include <calypso/boot.h>
#include <calypso/bootinfo.h>

void early_devices(void)
{
	if (bootinfo_has(CALYPSO_FEATURE_DOORBELL))
		bootinfo_add_device(bootinfo.doorbell, sizeof(uint32_t), "doorbell");
	if (bootinfo.console != 0)
		bootinfo_add_device(bootinfo.console, PAGE_SIZE, "console");
	if (bootinfo_controller() != CALYPSO_CONTROLLER_NONE) {
		bootinfo_add_device(bootinfo.distributor, bootinfo.distributor_length,
				    "gic distributor");
		bootinfo_add_device(bootinfo.processor_frames, bootinfo.processor_frames_length,
				    "gic processors");
	}
}
