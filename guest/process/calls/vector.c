/* Vectors of segments that a program gives. */
#include <calypso/errno.h>
#include <calypso/mm.h>
#include <calypso/user.h>
#include <process/calls/vector.h>

/* Cut at IO_MAX bytes. Their number, or -EINVAL where one length is negative. */
static int64_t total_length(struct iovec *segments, unsigned count)
{
	uint64_t total = 0;
	for (unsigned i = 0; i < count; i++) {
		if ((int64_t)segments[i].iov_len < 0)
			return -EINVAL;
		if (segments[i].iov_len > IO_MAX - total)
			segments[i].iov_len = IO_MAX - total;
		total += segments[i].iov_len;
	}
	return (int64_t)total;
}

int vector_begin(struct vector *vector, user_t address, uint64_t count)
{
	struct iovec *segments = vector->few;
	vector->many = NULL;
	if (count > IOV_MAX)
		return -EINVAL;
	if (count > VECTOR_FEW) {
		segments = vector->many = kmalloc(count * sizeof(*segments));
		if (segments == NULL)
			return -ENOMEM;
	}
	if (user_copy_in(segments, address, count * sizeof(*segments)) != 0)
		return -EFAULT;
	int64_t total = total_length(segments, (unsigned)count);
	if (total < 0)
		return (int)total;
	vector->io = io_vector(segments, (uint64_t)total);
	return 0;
}

void vector_end(struct vector *vector) { kfree(vector->many); }
