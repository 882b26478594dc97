/* arm64: devices that boot needs, found in the device tree. Their registers become regions of
 * bootinfo, and so part of the kernel's page table, wherever in the address space they are. */
#include <arch/irq.h>
#include <calypso/boot.h>
#include <calypso/bootinfo.h>
#include <calypso/device_tree.h>
#include <calypso/lib.h>

static const struct {
	const char *compatible;
	const struct gic *gic; /* NULL: no interrupt controller */
} wanted[] = {
	{"arm,pl011", NULL},
	{"arm,gic-v3", &gicv3},
	{"arm,cortex-a15-gic", &gicv2},
};

static void add(const struct device_node *node, const char *name)
{
	struct device_range range;

	for (unsigned n = 0; device_node_range(node, n, &range); n++)
		bootinfo_add_device(range.base, range.length, name);
}

static void visit(const struct device_node *node, void *context)
{
	(void)context;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (!device_node_is(node, wanted[i].compatible))
			continue;
		add(node, strchr(wanted[i].compatible, ',') + 1);
		if (wanted[i].gic)
			irq_found(wanted[i].gic, node);
		return;
	}
}

void early_devices(void)
{
	if (bootinfo_has(CALYPSO_FEATURE_DOORBELL))
		bootinfo_add_device(bootinfo.doorbell, sizeof(uint32_t), "doorbell");
	if (bootinfo.console != 0)
		bootinfo_add_device(bootinfo.console, PAGE_SIZE, "console");
	if (bootinfo.device_tree != 0)
		device_tree_visit(bootinfo.device_tree, bootinfo.device_tree_length, visit, NULL);
}
