/* Interrupts of devices.
 *
 * The kernel itself runs with interrupts masked. They are taken while the program runs, and while
 * nobody does (`host_idle`), which they end. A handler so meets the kernel's data in order; it runs
 * on the interrupt stack, must not wait, and typically quiets its device and wakes threads
 * (`thread_wake`), which run next.
 */
#ifndef CALYPSO_IRQ_H
#define CALYPSO_IRQ_H

#include <calypso/types.h>

typedef void irq_handler(void *argument);

/* Call `handler` at each interrupt of a level-triggered line from now on: x86_64: a pin of the
 * I/O APIC; arm64: the INTID of a shared peripheral interrupt. Handlers of one line are all
 * called. 0, -ENOMEM, -EINVAL (no such line), or -ENODEV (no interrupt controller). */
int irq_register(unsigned line, irq_handler *handler, void *argument);

/* ---- Between this and the architecture ---- */

/* Make the stack on which interrupts are handled, and take the interrupt controller into use, if
 * that has not been done. 0, -ENOMEM or -ENODEV. */
int irq_initialize(void);

/* Call `act` on the interrupt stack. */
void irq_call(void (*act)(uint64_t argument), uint64_t argument);

/* Call the handlers of a line. */
void irq_handle(unsigned line);

#endif
