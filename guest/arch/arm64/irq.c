/* arm64: interrupts, by the Generic Interrupt Controller that the device tree names. */
#include <arch/irq.h>
#include <calypso/arch.h>
#include <calypso/device.h>
#include <calypso/errno.h>
#include <calypso/irq.h>

static const struct gic *gic;
static struct device_range frames[2];

void irq_found(const struct gic *found, const struct device_node *node)
{
	bool whole = device_node_range(node, 0, &frames[0]) && device_node_range(node, 1, &frames[1]);
	if (whole)
		gic = found;
}

int arch_irq_initialize(void)
{
	if (gic == NULL)
		return -ENODEV;
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
