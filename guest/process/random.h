/* Random numbers for programs: ChaCha20 with fast key erasure, seeded by the VMM and the CPU. */
#ifndef PROCESS_RANDOM_H
#define PROCESS_RANDOM_H

#include <file/io.h>

#define RANDOM_AT_START 16 /* bytes of AT_RANDOM */

/* The bytes of AT_RANDOM. They are of the VMM's seed and serve nothing else. Called once, before
 * any other function here. */
void random_at_start(uint8_t bytes[RANDOM_AT_START]);

/* Fill kernel memory. */
void random_fill(void *to, size_t length);

/* Fill what `io` has left. 0 or -EFAULT. */
int random_read(struct io *io);

#endif
