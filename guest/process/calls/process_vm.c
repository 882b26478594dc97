/* Calls that copy between processes: there is one, and its threads share its memory. */
#include <calypso/lib.h>
#include <file/io.h>
#include <process/syscall.h>
#include <uapi/types.h>

#define PIECE 4096

/* Segments of the program, copied and checked. */
struct vector {
	struct iovec *segments;
	uint64_t total;
};

static int add_lengths(struct vector *vector, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct iovec *segment = &vector->segments[i];
		if ((int64_t)segment->iov_len < 0)
			return -EINVAL;
		if (segment->iov_len > IO_MAX - vector->total)
			segment->iov_len = IO_MAX - vector->total;
		vector->total += segment->iov_len;
	}
	return 0;
}

/* 0 or an error; `segments` is the caller's to free in any case. */
static int read_vector(struct vector *vector, user_t address, uint64_t count)
{
	*vector = (struct vector){0};
	if (count > IOV_MAX)
		return -EINVAL;
	vector->segments = kmalloc(count * sizeof(*vector->segments) + 1);
	if (vector->segments == NULL)
		return -ENOMEM;
	if (user_copy_in(vector->segments, address, count * sizeof(*vector->segments)) != 0)
		return -EFAULT;
	return add_lengths(vector, count);
}

/* Bytes copied, or -EFAULT where there are none. */
static int64_t copy(const struct vector *from, const struct vector *to, uint8_t *piece)
{
	uint64_t wanted = from->total < to->total ? from->total : to->total;
	struct io source = io_vector(from->segments, from->total);
	struct io target = io_vector(to->segments, to->total);
	int error = 0;
	while (error == 0 && to->total - target.remaining < wanted) {
		uint64_t before = source.remaining;
		uint64_t left = wanted - (to->total - target.remaining);
		error = io_take(&source, piece, left < PIECE ? left : PIECE);
		uint64_t taken = before - source.remaining;
		int put = io_put(&target, piece, taken);
		error = error == 0 ? put : error;
	}
	uint64_t copied = to->total - target.remaining;
	return copied > 0 || error == 0 ? (int64_t)copied : error;
}

struct transfer {
	user_t local, remote;
	uint64_t local_count, remote_count;
};

static int64_t transfer(int pid, const struct transfer *given, uint64_t flags, bool reads)
{
	struct vector local, remote = {0};
	if (flags != 0)
		return -EINVAL;
	int64_t result = read_vector(&local, given->local, given->local_count);
	if (result == 0)
		result = read_vector(&remote, given->remote, given->remote_count);
	if (result == 0 && thread_find(pid) == NULL)
		result = -ESRCH;
	uint8_t *piece = result == 0 ? kmalloc(PIECE) : NULL;
	if (piece != NULL)
		result = reads ? copy(&remote, &local, piece) : copy(&local, &remote, piece);
	else if (result == 0)
		result = -ENOMEM;
	kfree(piece);
	kfree(remote.segments);
	kfree(local.segments);
	return result;
}

SYSCALL6(process_vm_readv, int, pid, user_t, local, uint64_t, local_count, user_t, remote, uint64_t,
	 remote_count, uint64_t, flags)
{
	struct transfer given = {local, remote, local_count, remote_count};
	return transfer(pid, &given, flags, true);
}

SYSCALL6(process_vm_writev, int, pid, user_t, local, uint64_t, local_count, user_t, remote, uint64_t,
	 remote_count, uint64_t, flags)
{
	struct transfer given = {local, remote, local_count, remote_count};
	return transfer(pid, &given, flags, false);
}
