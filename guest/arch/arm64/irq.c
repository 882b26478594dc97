/* arm64: interrupts, by the Generic Interrupt Controller that the device tree names. */
#include <arch/irq.h>
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/device.h>
#include <calypso/device_tree.h>
#include <calypso/errno.h>
#include <calypso/irq.h>
#include <calypso/lib.h>

static const struct {
	const char *compatible;
	const struct gic *gic;
} versions[] = {
	{"arm,gic-v3", &gicv3},
	{"arm,cortex-a15-gic", &gicv2},
};

static const struct gic *gic;
static struct device_range frames[2];

static void visit(const struct device_node *node, void *context)
{
	(void)context;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		if (device_node_is(node, versions[i].compatible) &&
		    device_node_range(node, 0, &frames[0]) &&
		    device_node_range(node, 1, &frames[1]))
			gic = versions[i].gic;
	}
}

int arch_irq_initialize(void)
{
	if (bootinfo.device_tree != 0)
		device_tree_visit(bootinfo.device_tree, bootinfo.device_tree_length, visit, NULL);
	if (gic == NULL)
		return -ENODEV;
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		int error = device_map(frames[i].base, frames[i].length);
		if (error != 0)
			return error;
	}
	gic->initialize(frames[0].base, frames[1].base);
	gic->enable(INTID_VIRTUAL_TIMER);
	return 0;
}

int arch_irq_enable(unsigned line)
{
	if (line < INTID_SHARED || line >= INTID_SPECIAL || line >= gic->lines())
		return -EINVAL;
	gic->enable(line);
	return 0;
}

/* On the interrupt stack. */
static void handle(uint64_t intid)
{
	if (intid == INTID_VIRTUAL_TIMER)
		timer_interrupt();
	else
		irq_handle((unsigned)intid);
}

void irq_interrupt(struct trap_frame *frame)
{
	uint32_t intid;
	while ((intid = gic->acknowledge()) < INTID_SPECIAL) {
		irq_call(handle, intid);
		gic->end(intid);
	}
	if (frame_is_user(frame))
		interrupt_return(frame);
}
