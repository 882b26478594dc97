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
	const struct iovec *segment; /* the first that is not used up */
	uint64_t used;		     /* bytes of it that are */
	uint64_t remaining;	     /* bytes left in all segments */
	bool in_kernel;		     /* addresses are the kernel's */
};

/* One segment, which the caller keeps. At most IO_MAX bytes of it are used. */
struct io io_program(const struct iovec *segment);
struct io io_kernel(const struct iovec *segment);

/* Several of the program's; `total` is their sum, at most IO_MAX. */
struct io io_vector(const struct iovec *segments, uint64_t total);

/* Move bytes from a kernel buffer into the segments, or the other way; `length` is at most
 * io->remaining. -EFAULT where the program's memory ends early: what came before is done. */
int io_put(struct io *io, const void *from, size_t length);
int io_take(struct io *io, void *to, size_t length);

/* Put zeros. */
int io_clear(struct io *io, size_t length);

#endif
