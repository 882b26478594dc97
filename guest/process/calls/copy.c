/* Calls that move data from one open file to another: sendfile(2), copy_file_range(2). */
#include <calypso/lib.h>
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
	struct iovec segment = {(uintptr_t)copy->buffer, length};
	struct io io = io_kernel(&segment);
	int64_t count = open_file_read(copy->in, &io, &copy->in_at);
	if (count <= 0)
		return count;
	segment.iov_len = (uint64_t)count;
	io = io_kernel(&segment);
	const uint64_t *out_at = copy->out_is_stream ? NULL : &copy->out_at;
	int64_t written = open_file_write(copy->out, &io, out_at);
	if (written > 0) {
		copy->in_at += (uint64_t)written;
		copy->out_at += (uint64_t)written;
	}
	return written;
}

static int64_t copy_all(struct copy *copy, uint64_t length)
{
	const uint64_t part_max = PAGE_SIZE << BUFFER_ORDER;
	physical_t frames = frame_allocate(BUFFER_ORDER, 0);
	if (frames == FRAME_NONE)
		return -ENOMEM;
	copy->buffer = phys_to_virt(frames);
	/* While this thread waits, another one may close the descriptors. */
	open_file_get(copy->in);
	open_file_get(copy->out);
	uint64_t done = 0;
	int64_t written = 0;
	while (done < length) {
		uint64_t part = length - done < part_max ? length - done : part_max;
		written = copy_part(copy, part);
		if (written <= 0)
			break;
		done += (uint64_t)written;
	}
	open_file_put(copy->out);
	open_file_put(copy->in);
	frame_free(frames, BUFFER_ORDER);
	return done > 0 ? (int64_t)done : written;
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

SYSCALL4(sendfile, int, out_number, int, in_number, user_t, position, uint64_t, length)
{
	struct copy copy = {
		.in = at_open_file(in_number),
		.out = at_open_file(out_number),
		.out_is_stream = true,
	};
	if (copy.in == NULL || !open_file_readable(copy.in))
		return -EBADF;
	int error = send_position(copy.in, position, length, &copy.in_at);
	if (error == 0 && (copy.out == NULL || !open_file_writable(copy.out)))
		error = -EBADF;
	if (error == 0)
		error = check_send(copy.out, copy.in);
	if (error != 0)
		return error;
	int64_t sent = copy_all(&copy, length < IO_MAX ? length : IO_MAX);
	return put_position(copy.in, position, copy.in_at) != 0 ? -EFAULT : sent;
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

SYSCALL6(copy_file_range, int, in_number, user_t, in_position, int, out_number, user_t,
	 out_position, uint64_t, length, unsigned, flags)
{
	struct copy copy = {.in = at_open_file(in_number), .out = at_open_file(out_number)};
	if (copy.in == NULL || copy.out == NULL)
		return -EBADF;
	int error = get_position(copy.in, in_position, &copy.in_at);
	if (error == 0)
		error = get_position(copy.out, out_position, &copy.out_at);
	if (error == 0 && flags != 0)
		error = -EINVAL;
	if (error == 0)
		error = check_range(&copy, length);
	if (error != 0)
		return error;
	int64_t copied = copy_all(&copy, length < IO_MAX ? length : IO_MAX);
	if (put_position(copy.in, in_position, copy.in_at) != 0 ||
	    put_position(copy.out, out_position, copy.out_at) != 0)
		return -EFAULT;
	return copied;
}
