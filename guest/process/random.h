/* Random numbers for programs: ChaCha20 (RFC 8439) with fast key erasure.
 *
 * The key is mixed from all there is: the VMM's seed, the processor's generator, the host behind the
 * doorbell, the hardware generator on the bus; and again after every so much output, and at once when
 * the machine has been restored from a snapshot (struct calypso_generation). On the kernel's command
 * line, random.seed=NUMBER makes the numbers the same in each run, for tests; and random.insecure=1
 * trusts what cannot be trusted.
 */
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

/* Whether nobody else can know the numbers: some source was there, and no seed forced. */
bool random_is_trusted(void);

#endif
