/* Calls that move data from one open file to another: sendfile(2), copy_file_range(2). */
#include <calypso/lib.h>
#include <file/pipe.h>
#include <process/calls/at.h>

#define BUFFER_ORDER 2 /* 16 KiB at a time */

/* A copy between two open files, each at a position of its own. */
struct copy {
	struct open_file *in, *out;
	uint64_t in_at, out_at;
	bool out_is_stream; /* write at the file's own position */
	void *buffer;
};

/* One buffer full: bytes that went out, 0 at the end of the input. What could not be written is
 * read again later. */
static int64_t copy_part(struct copy *copy, uint64_t length)
{
	struct io io = io_kernel(copy->buffer, length);
	int64_t count = open_file_read(copy->in, &io, &copy->in_at);
	if (count <= 0)
		return count;
	io = io_kernel(copy->buffer, (uint64_t)count);
	const uint64_t *out_at = copy->out_is_stream ? NULL : &copy->out_at;
	int64_t written = open_file_write(copy->out, &io, out_at);
	if (written > 0) {
		copy->in_at += (uint64_t)written;
		copy->out_at += (uint64_t)written;
	}
	return written;
}

/* How much of what is left to copy next. A pipe is given what it has room for; only where nothing was
 * copied yet, that is waited for. */
static uint64_t next_length(const struct copy *copy, uint64_t left, bool first)
{
	const struct pipe *pipe = pipe_of_file(copy->out->file);
	uint64_t most = PAGE_SIZE << BUFFER_ORDER;
	if (pipe != NULL && pipe_room(pipe) < most)
		most = pipe_is_full(pipe) && first ? PAGE_SIZE : pipe_room(pipe);
	return left < most ? left : most;
}

static int64_t copy_all(struct copy *copy, uint64_t length)
{
	physical_t frames = frame_allocate(BUFFER_ORDER, 0);
	if (frames == FRAME_NONE)
		return -ENOMEM;
	copy->buffer = phys_to_virt(frames);
	uint64_t done = 0, part;
	int64_t written = 1;
	while (written > 0 && (part = next_length(copy, length - done, done == 0)) > 0) {
		written = copy_part(copy, part);
		done += written > 0 ? (uint64_t)written : 0;
	}
	frame_free(frames, BUFFER_ORDER);
	return done > 0 || length == 0 ? (int64_t)done : written;
}

/* The two files of a call, as far as their descriptors are open. While the thread waits, another one
 * may close them. */
static void hold(struct copy *copy, int in_number, int out_number)
{
	copy->in = at_open_file(in_number);
	copy->out = at_open_file(out_number);
	if (copy->in != NULL)
		open_file_get(copy->in);
	if (copy->out != NULL)
		open_file_get(copy->out);
}

static void let_go(struct copy *copy)
{
	open_file_put(copy->out);
	open_file_put(copy->in);
}

/* A position of the program, or the file's own where the address is 0. */
static int get_position(const struct open_file *open, user_t address, uint64_t *position)
{
	*position = open->position;
	return address != 0 && user_get(position, address) != 0 ? -EFAULT : 0;
}

static int put_position(struct open_file *open, user_t address, uint64_t position)
{
	if (address != 0)
		return user_put(address, &position);
	open->position = position;
	return 0;
}

/* ---- sendfile ---- */

/* Where the reading starts. */
static int send_position(const struct open_file *in, user_t address, uint64_t length,
			 uint64_t *position)
{
	if (address != 0 && !open_file_seekable(in))
		return -ESPIPE;
	int error = get_position(in, address, position);
	if (error != 0)
		return error;
	return *position > INT64_MAX || length > INT64_MAX - *position ? -EINVAL : 0;
}

/* What only sendfile asks of its files. */
static int check_send(const struct open_file *out, const struct open_file *in)
{
	bool streams = !open_file_seekable(in) || S_ISDIR(in->file->mode);
	return streams || (out->flags & O_APPEND) != 0 ? -EINVAL : 0;
}

static int64_t send(struct copy *copy, user_t position, uint64_t length)
{
	if (copy->in == NULL || !open_file_readable(copy->in))
		return -EBADF;
	int error = send_position(copy->in, position, length, &copy->in_at);
	if (error == 0 && (copy->out == NULL || !open_file_writable(copy->out)))
		error = -EBADF;
	if (error == 0)
		error = check_send(copy->out, copy->in);
	if (error != 0)
		return error;
	int64_t sent = copy_all(copy, length < IO_MAX ? length : IO_MAX);
	return put_position(copy->in, position, copy->in_at) != 0 ? -EFAULT : sent;
}

SYSCALL4(sendfile, int, out_number, int, in_number, user_t, position, uint64_t, length)
{
	struct copy copy = {.out_is_stream = true};
	hold(&copy, in_number, out_number);
	int64_t sent = send(&copy, position, length);
	let_go(&copy);
	return sent;
}

/* ---- copy_file_range ---- */

/* In the order in which Linux looks. */
static int check_range(const struct copy *copy, uint64_t length)
{
	const struct file *in = copy->in->file, *out = copy->out->file;
	if (S_ISDIR(in->mode) || S_ISDIR(out->mode))
		return -EISDIR;
	if (!S_ISREG(in->mode) || !S_ISREG(out->mode))
		return -EINVAL;
	if (!open_file_readable(copy->in) || !open_file_writable(copy->out) ||
	    (copy->out->flags & O_APPEND) != 0)
		return -EBADF;
	if (copy->in_at + length < copy->in_at || copy->out_at + length < copy->out_at)
		return -EOVERFLOW;
	if ((int64_t)copy->in_at < 0 || (int64_t)copy->out_at < 0)
		return -EINVAL;
	uint64_t left = copy->in_at < in->size ? in->size - copy->in_at : 0;
	length = length < left ? length : left;
	bool overlap = copy->in_at < copy->out_at + length && copy->out_at < copy->in_at + length;
	return in == out && overlap ? -EINVAL : 0;
}

static int64_t copy_range(struct copy *copy, user_t in_position, user_t out_position,
			  uint64_t length, unsigned flags)
{
	if (copy->in == NULL || copy->out == NULL)
		return -EBADF;
	int error = get_position(copy->in, in_position, &copy->in_at);
	if (error == 0)
		error = get_position(copy->out, out_position, &copy->out_at);
	if (error == 0 && flags != 0)
		error = -EINVAL;
	if (error == 0)
		error = check_range(copy, length);
	if (error != 0)
		return error;
	int64_t copied = copy_all(copy, length < IO_MAX ? length : IO_MAX);
	if (put_position(copy->in, in_position, copy->in_at) != 0 ||
	    put_position(copy->out, out_position, copy->out_at) != 0)
		return -EFAULT;
	return copied;
}

SYSCALL6(copy_file_range, int, in_number, user_t, in_position, int, out_number, user_t,
	 out_position, uint64_t, length, unsigned, flags)
{
	struct copy copy = {.out_is_stream = false};
	hold(&copy, in_number, out_number);
	int64_t copied = copy_range(&copy, in_position, out_position, length, flags);
	let_go(&copy);
	return copied;
}
