/* arm64: interrupts, by the Generic Interrupt Controller that bootinfo names. Its registers are
 * mapped since boot, see early.c. */
#include <arch/irq.h>
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/errno.h>
#include <calypso/irq.h>

static const struct gic *gic;

static const struct gic *find_gic(void)
{
	switch (bootinfo_controller()) {
	case CALYPSO_CONTROLLER_GICV2:
		return &gicv2;
	case CALYPSO_CONTROLLER_GICV3:
		return &gicv3;
	default:
		return NULL;
	}
}

int arch_irq_initialize(void)
{
	gic = find_gic();
	if (gic == NULL)
		return -ENODEV;
	gic->initialize(bootinfo.distributor, bootinfo.processor_frames);
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
