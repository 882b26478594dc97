/* x86_64: interrupt vectors. */
#ifndef ARCH_VECTORS_H
#define ARCH_VECTORS_H

#define VECTOR_IRQ 32	   /* pin 0 of the I/O APIC, and one for each further pin */
#define VECTOR_TIMER 62	   /* the local APIC's */
#define VECTOR_SPURIOUS 63 /* older processors want its low four bits set */
#define VECTORS 64
#define GATE_SIZE 16 /* bytes of the interrupt descriptor table for each */

#endif
