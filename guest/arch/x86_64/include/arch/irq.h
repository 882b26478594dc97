/* x86_64: what the files of this architecture have in common of interrupts. */
#ifndef ARCH_IRQ_H
#define ARCH_IRQ_H

#include <arch/vectors.h>
#include <calypso/types.h>

struct trap_frame;

/* The processor takes an interrupt of a vector from VECTOR_IRQ on. */
void irq_interrupt(struct trap_frame *frame);

/* Take the local APIC's timer into use. */
void timer_initialize(void);

/* Registers of the local APIC, in xAPIC mode: every backend has that (SDM volume 3, 12.4). */
#define LOCAL_APIC 0xfee00000ull

#endif
