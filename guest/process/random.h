/* Random numbers for programs: ChaCha20 with fast key erasure, seeded by the VMM and the CPU. */
#ifndef PROCESS_RANDOM_H
#define PROCESS_RANDOM_H

#include <file/io.h>

#define RANDOM_FOR_PROGRAM 16

/* The bytes of AT_RANDOM. For the first program they are of the VMM's seed, at no cost, and serve
 * nothing else; this is the first call of all here. */
void random_for_program(uint8_t bytes[RANDOM_FOR_PROGRAM]);

/* Fill kernel memory. */
void random_fill(void *to, size_t length);

/* Fill what `io` has left. 0 or -EFAULT. */
int random_read(struct io *io);

#endif
