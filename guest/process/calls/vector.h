/* Vectors of segments (struct iovec) that a program gives. */
#ifndef PROCESS_CALLS_VECTOR_H
#define PROCESS_CALLS_VECTOR_H

#include <file/io.h>

/* Vectors up to this many segments are kept in the structure, longer ones in the heap. */
#define VECTOR_FEW 8

/* Not to be copied: `io` points into it. */
struct vector {
	struct io io;
	struct iovec *many; /* NULL: `few` holds them */
	struct iovec few[VECTOR_FEW];
};

/* Copy a vector, cut at IO_MAX bytes: 0; -EINVAL for too many segments or a negative length;
 * -EFAULT; -ENOMEM. vector_end is due whatever comes of it. */
int vector_begin(struct vector *vector, user_t address, uint64_t count);
void vector_end(struct vector *vector);

#endif
