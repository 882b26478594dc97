/* arm64: what the files of this architecture have in common of interrupts. */
#ifndef ARCH_IRQ_H
#define ARCH_IRQ_H

#include <calypso/types.h>

struct trap_frame;

/* INTIDs: below 16 software's, then those of each processor, then the devices'. From 1020 on they
 * mean that there is none. */
#define INTID_VIRTUAL_TIMER 27 /* by Arm's BSA, and on every board that we know */
#define INTID_SHARED 32
#define INTID_SPECIAL 1020

/* A version of the Generic Interrupt Controller. */
struct gic {
	/* Take it into use; `processor_frames`: CPU interface (2), redistributors (3). */
	void (*initialize)(physical_t distributor, physical_t processor_frames);
	void (*enable)(unsigned intid);
	unsigned (*lines)(void); /* INTIDs that it has */
	uint32_t (*acknowledge)(void);
	void (*end)(uint32_t acknowledged);
};

extern const struct gic gicv2, gicv3;

/* The processor takes an IRQ. */
void irq_interrupt(struct trap_frame *frame);

/* The virtual timer: its interrupt may come; it came. */
void timer_interrupt(void);

#endif
