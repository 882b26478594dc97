/* Calls that copy between processes: there is one, and its threads share its memory. */
#include <calypso/lib.h>
#include <process/calls/vector.h>
#include <process/syscall.h>

#define PIECE 4096

/* Copy as much as both sides have room for: bytes copied, or -EFAULT where there are none. */
static int64_t copy(struct io *from, struct io *to, uint8_t *piece)
{
	uint64_t wanted = from->remaining < to->remaining ? from->remaining : to->remaining;
	uint64_t left = wanted;
	int error = 0;
	while (error == 0 && left > 0) {
		uint64_t before = from->remaining, room = to->remaining;
		error = io_take(from, piece, left < PIECE ? left : PIECE);
		int put = io_put(to, piece, before - from->remaining);
		left -= room - to->remaining;
		error = error == 0 ? put : error;
	}
	return left < wanted || error == 0 ? (int64_t)(wanted - left) : error;
}

struct transfer {
	user_t local, remote;
	uint64_t local_count, remote_count;
};

static int64_t transfer(int pid, const struct transfer *given, uint64_t flags, bool reads)
{
	struct vector local, remote;
	if (flags != 0)
		return -EINVAL;
	int64_t result = vector_begin(&local, given->local, given->local_count);
	int64_t second = vector_begin(&remote, given->remote, given->remote_count);
	if (result == 0)
		result = second;
	if (result == 0 && thread_find(pid) == NULL)
		result = -ESRCH;
	uint8_t *piece = result == 0 ? kmalloc(PIECE) : NULL;
	if (piece != NULL)
		result = reads ? copy(&remote.io, &local.io, piece)
			       : copy(&local.io, &remote.io, piece);
	else if (result == 0)
		result = -ENOMEM;
	kfree(piece);
	vector_end(&remote);
	vector_end(&local);
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
