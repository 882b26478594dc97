/* Calls that move data into pipes and out of them: splice(2), tee(2), vmsplice(2). */
#include <calypso/lib.h>
#include <file/pipe.h>
#include <process/calls/at.h>

#define SPLICE_F_NONBLOCK 2
#define SPLICE_F_ALL 15

/* An end of a splice: a pipe, or a file at a position. */
struct end {
	struct open_file *open;
	struct pipe *pipe; /* NULL: a file */
	user_t position_address;
	uint64_t position;
};

static int find_end(int number, user_t position, struct end *end)
{
	*end = (struct end){.open = at_open_file(number), .position_address = position};
	if (end->open == NULL)
		return -EBADF;
	end->pipe = pipe_of_file(end->open->file);
	if (position == 0)
		return 0;
	if (end->pipe != NULL || !open_file_seekable(end->open))
		return -ESPIPE;
	if (user_get(&end->position, position) != 0)
		return -EFAULT;
	return (int64_t)end->position < 0 ? -EINVAL : 0;
}

/* Where the file is read or written; NULL: at its own position. */
static const uint64_t *place_of(const struct end *end)
{
	return end->position_address != 0 ? &end->position : NULL;
}

/* What is none can neither give bytes nor take any: eventfd and its kind. */
static bool is_stream(const struct end *end) { return (end->open->file->mode & S_IFMT) != 0; }

/* One slot from a file into a pipe: bytes moved. What is wrong with the pipe counts more. */
static int64_t fill_pipe(struct end *in, struct end *out, uint64_t length, bool waits)
{
	struct pipe_slot slot;
	int error = pipe_reserve(out->pipe, waits, &slot);
	if (error != 0)
		return error;
	struct io io = io_kernel(slot.page, length < PAGE_SIZE ? length : PAGE_SIZE);
	int64_t count = is_stream(in) ? open_file_read(in->open, &io, place_of(in)) : -EINVAL;
	slot.length = count > 0 ? (uint32_t)count : 0;
	pipe_append(out->pipe, &slot);
	return count;
}

/* What is left of one slot of a pipe into a file. */
static int64_t drain_pipe(struct end *in, struct end *out, uint64_t length, bool waits)
{
	struct pipe_slot slot;
	int error = pipe_take(in->pipe, waits, &slot);
	if (error <= 0)
		return error;
	uint64_t part = slot.length < length ? slot.length : length;
	struct io io = io_kernel(slot.page + slot.start, part);
	int64_t count = open_file_write(out->open, &io, place_of(out));
	slot.start += count > 0 ? (uint32_t)count : 0;
	slot.length -= count > 0 ? (uint32_t)count : 0;
	pipe_return(in->pipe, &slot);
	return count;
}

static int64_t splice_part(struct end *in, struct end *out, uint64_t length, bool waits)
{
	if (in->pipe == NULL)
		return fill_pipe(in, out, length, waits);
	if (out->pipe == NULL)
		return drain_pipe(in, out, length, waits);
	return pipe_move(in->pipe, out->pipe, length, waits);
}

/* What is there now; only where that is nothing, wait. */
static int64_t splice_ends(struct end *in, struct end *out, uint64_t length, bool waits)
{
	uint64_t done = 0;
	while (done < length) {
		int64_t moved = splice_part(in, out, length - done, waits && done == 0);
		if (moved <= 0)
			return done > 0 ? (int64_t)done : moved;
		done += (uint64_t)moved;
		in->position += (uint64_t)moved;
		out->position += (uint64_t)moved;
		/* A stream gives what it has once. */
		if (in->pipe == NULL && !open_file_seekable(in->open))
			break;
	}
	return (int64_t)done;
}

static int check_splice(const struct end *in, const struct end *out)
{
	if (!open_file_readable(in->open) || !open_file_writable(out->open))
		return -EBADF;
	if (in->pipe == NULL && out->pipe == NULL)
		return -EINVAL;
	if (in->pipe != NULL && in->pipe == out->pipe)
		return -EINVAL;
	if (out->pipe == NULL && (out->open->flags & O_APPEND) != 0)
		return -EINVAL;
	return is_stream(out) ? 0 : -EINVAL;
}

static bool may_wait(const struct end *end, unsigned flags)
{
	return (flags & SPLICE_F_NONBLOCK) == 0 &&
	       (end->pipe == NULL || (end->open->flags & O_NONBLOCK) == 0);
}

static int put_positions(const struct end *in, const struct end *out)
{
	if (in->position_address != 0 && user_put(in->position_address, &in->position) != 0)
		return -EFAULT;
	if (out->position_address != 0 && user_put(out->position_address, &out->position) != 0)
		return -EFAULT;
	return 0;
}

SYSCALL6(splice, int, in_number, user_t, in_position, int, out_number, user_t, out_position,
	 uint64_t, length, unsigned, flags)
{
	struct end in, out;
	if (length == 0)
		return 0;
	if ((flags & ~(unsigned)SPLICE_F_ALL) != 0)
		return -EINVAL;
	int error = find_end(in_number, in_position, &in);
	if (error == 0)
		error = find_end(out_number, out_position, &out);
	if (error == 0)
		error = check_splice(&in, &out);
	if (error != 0)
		return error;
	open_file_get(in.open);
	open_file_get(out.open);
	bool waits = may_wait(&in, flags) && may_wait(&out, flags);
	int64_t moved = splice_ends(&in, &out, length < IO_MAX ? length : IO_MAX, waits);
	if (put_positions(&in, &out) != 0)
		moved = -EFAULT;
	open_file_put(out.open);
	open_file_put(in.open);
	return moved;
}

SYSCALL4(tee, int, in_number, int, out_number, uint64_t, length, unsigned, flags)
{
	struct end in, out;
	if ((flags & ~(unsigned)SPLICE_F_ALL) != 0)
		return -EINVAL;
	if (length == 0)
		return 0;
	int error = find_end(in_number, 0, &in);
	if (error == 0)
		error = find_end(out_number, 0, &out);
	if (error == 0 && (!open_file_readable(in.open) || !open_file_writable(out.open)))
		error = -EBADF;
	if (error == 0 && (in.pipe == NULL || out.pipe == NULL || in.pipe == out.pipe))
		error = -EINVAL;
	if (error != 0)
		return error;
	open_file_get(in.open);
	open_file_get(out.open);
	bool waits = may_wait(&in, flags) && may_wait(&out, flags);
	int64_t copied = pipe_copy(in.pipe, out.pipe, length < IO_MAX ? length : IO_MAX, waits);
	open_file_put(out.open);
	open_file_put(in.open);
	return copied;
}

/* Pages are copied, which gift and move (SPLICE_F_*) leave to the kernel. */
SYSCALL4(vmsplice, int, number, user_t, vector, uint64_t, count, unsigned, flags)
{
	struct end end;
	if ((flags & ~(unsigned)SPLICE_F_ALL) != 0)
		return -EINVAL;
	int error = find_end(number, 0, &end);
	if (error != 0)
		return error;
	if (end.pipe == NULL)
		return -EBADF;
	const uint64_t arguments[6] = {(uint64_t)number, vector, count};
	bool writes = open_file_writable(end.open);
	return writes ? sys_writev(arguments) : sys_readv(arguments);
}
