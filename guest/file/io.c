/* Transfers between kernel buffers and lists of segments. */
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/user.h>
#include <file/io.h>

enum direction { PUT, TAKE, CLEAR };

static int move_in_program(enum direction direction, user_t at, void *buffer, size_t length)
{
	switch (direction) {
	case PUT:
		return user_copy_out(at, buffer, length);
	case TAKE:
		return user_copy_in(buffer, at, length);
	default:
		return user_clear(at, length);
	}
}

static void move_in_kernel(enum direction direction, void *at, void *buffer, size_t length)
{
	if (direction == PUT)
		memcpy(at, buffer, length);
	else if (direction == TAKE)
		memcpy(buffer, at, length);
	else
		memset(at, 0, length);
}

/* Move within one segment: how many bytes that was, or -EFAULT. */
static int64_t move_part(const struct io *io, enum direction direction, void *buffer, size_t length)
{
	uint64_t at = io->segment->iov_base + io->used;
	if (io->in_kernel) {
		move_in_kernel(direction, (void *)(uintptr_t)at, buffer, length);
		return (int64_t)length;
	}
	if (likely(move_in_program(direction, at, buffer, length) == 0))
		return (int64_t)length;

	/* Some page is bad: get as far as the pages are good. */
	size_t page = PAGE_SIZE - (at & PAGE_MASK);
	if (length <= page || move_in_program(direction, at, buffer, page) != 0)
		return -EFAULT;
	return (int64_t)page;
}

static int io_move(struct io *io, enum direction direction, uint8_t *buffer, size_t length)
{
	while (length > 0) {
		uint64_t left = io->segment->iov_len - io->used;
		if (left == 0) {
			io->segment++;
			io->used = 0;
			continue;
		}
		int64_t moved = move_part(io, direction, buffer, left < length ? left : length);
		if (moved < 0)
			return (int)moved;
		io->used += (uint64_t)moved;
		io->remaining -= (uint64_t)moved;
		length -= (size_t)moved;
		if (direction != CLEAR)
			buffer += moved;
	}
	return 0;
}

int io_put(struct io *io, const void *from, size_t length)
{
	return io_move(io, PUT, (uint8_t *)(uintptr_t)from, length);
}

int io_take(struct io *io, void *to, size_t length) { return io_move(io, TAKE, to, length); }

int io_clear(struct io *io, size_t length) { return io_move(io, CLEAR, NULL, length); }

struct io io_vector(const struct iovec *segments, uint64_t total)
{
	return (struct io){.segment = segments, .remaining = total};
}

struct io io_program(const struct iovec *segment)
{
	return io_vector(segment, segment->iov_len < IO_MAX ? segment->iov_len : IO_MAX);
}

struct io io_kernel(const struct iovec *segment)
{
	struct io io = io_program(segment);
	io.in_kernel = true;
	return io;
}
