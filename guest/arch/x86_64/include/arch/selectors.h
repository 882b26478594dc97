/* x86_64: what a return to the program loads. The segment selectors are in the order that SYSCALL
 * and SYSRET ask for (and Linux has). */
#ifndef ARCH_SELECTORS_H
#define ARCH_SELECTORS_H

#define KERNEL_CS 0x10
#define KERNEL_SS 0x18
#define USER_CS32 0x23
#define USER_SS 0x2b
#define USER_CS 0x33
#define TSS_SELECTOR 0x38

/* RFLAGS that the program starts with: the bit that is always set, and interrupts enabled. */
#define USER_FLAGS 0x202

/* Those that a program may change: CF, PF, AF, ZF, SF, TF, DF, OF, AC, ID. */
#define USER_FLAGS_OWN 0x240dd5

#endif
