/* Calls that move data between an open file and a vector of segments. */
#include <process/calls/at.h>
#include <process/calls/transfer.h>
#include <process/calls/vector.h>

/* Vectors of no bytes never get to the file. */
static int64_t transfer_nothing(const struct open_file *open, enum way way, const uint64_t *offset)
{
	return way == READ ? open_file_check_read(open, offset)
			   : open_file_check_write(open, offset);
}

static int64_t transfer_vector(int number, user_t address, uint64_t count, enum way way,
			       const uint64_t *offset)
{
	struct vector vector;
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	open_file_get(open);
	int64_t result = vector_begin(&vector, address, count);
	if (result == 0 && vector.io.remaining == 0)
		result = transfer_nothing(open, way, offset);
	else if (result == 0)
		result = transfer(open, &vector.io, way, offset);
	vector_end(&vector);
	open_file_put(open);
	return result;
}

SYSCALL3(readv, int, number, user_t, vector, uint64_t, count)
{
	return transfer_vector(number, vector, count, READ, NULL);
}

SYSCALL3(writev, int, number, user_t, vector, uint64_t, count)
{
	return transfer_vector(number, vector, count, WRITE, NULL);
}

/* The offset is one 64-bit register here; the next one, its upper half on other machines, does not
 * count. */
SYSCALL5(preadv, int, number, user_t, vector, uint64_t, count, int64_t, offset, uint64_t, high)
{
	(void)high;
	uint64_t at = (uint64_t)offset;
	return offset < 0 ? -EINVAL : transfer_vector(number, vector, count, READ, &at);
}

SYSCALL5(pwritev, int, number, user_t, vector, uint64_t, count, int64_t, offset, uint64_t, high)
{
	(void)high;
	uint64_t at = (uint64_t)offset;
	return offset < 0 ? -EINVAL : transfer_vector(number, vector, count, WRITE, &at);
}

/* An offset of -1 is the file's position. Priority and durability are as good as they get. */
static int64_t transfer_vector2(int number, user_t vector, uint64_t count, int64_t offset,
				unsigned flags, enum way way)
{
	uint64_t at = (uint64_t)offset;
	if ((flags & ~(unsigned)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC)) != 0)
		return -EOPNOTSUPP;
	if (offset < -1)
		return -EINVAL;
	return transfer_vector(number, vector, count, way, offset == -1 ? NULL : &at);
}

SYSCALL6(preadv2, int, number, user_t, vector, uint64_t, count, int64_t, offset, uint64_t, high,
	 unsigned, flags)
{
	(void)high;
	return transfer_vector2(number, vector, count, offset, flags, READ);
}

SYSCALL6(pwritev2, int, number, user_t, vector, uint64_t, count, int64_t, offset, uint64_t, high,
	 unsigned, flags)
{
	(void)high;
	return transfer_vector2(number, vector, count, offset, flags, WRITE);
}
