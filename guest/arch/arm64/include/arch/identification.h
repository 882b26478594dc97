/* arm64: identification registers for the program. */
#ifndef ARCH_IDENTIFICATION_H
#define ARCH_IDENTIFICATION_H

#include <arch/frame.h>

/* Do for the program what an instruction that it may not execute asks for, if that is to read an
 * identification register; false: it is another instruction. */
bool identification_read(struct trap_frame *frame);

#endif
