/* The memory side of a transfer: segments in the program or in the kernel, used up from the
 * front. All reads and writes, scalar or vectored, of the program or of the kernel's own, go
 * through it.
 */
#ifndef FILE_IO_H
#define FILE_IO_H

#include <uapi/types.h>

/* The most that one call transfers; Linux's MAX_RW_COUNT. */
#define IO_MAX (0x7fffffff & ~PAGE_MASK)

struct io {
	uint64_t at;		  /* address of what is left of the first segment */
	uint64_t left;		  /* bytes of that */
	uint64_t remaining;	  /* bytes left in all segments */
	const struct iovec *next; /* the segments behind the first */
	bool in_kernel;		  /* addresses are the kernel's */
};

/* One segment. At most IO_MAX bytes of it are used. */
static inline struct io io_program(user_t at, uint64_t length)
{
	uint64_t count = length < IO_MAX ? length : IO_MAX;
	return (struct io){.at = at, .left = count, .remaining = count};
}

static inline struct io io_kernel(void *at, uint64_t length)
{
	struct io io = io_program((uintptr_t)at, length);
	io.in_kernel = true;
	return io;
}

/* Several of the program's, which the caller keeps; `total` is their sum, at most IO_MAX. */
static inline struct io io_vector(const struct iovec *segments, uint64_t total)
{
	return (struct io){.next = segments, .remaining = total};
}

/* Move bytes from a kernel buffer into the segments, or the other way; `length` is at most
 * io->remaining. -EFAULT where the program's memory ends early: what came before is done. */
int io_put(struct io *io, const void *from, size_t length);
int io_take(struct io *io, void *to, size_t length);

/* Put zeros. */
int io_clear(struct io *io, size_t length);

#endif
