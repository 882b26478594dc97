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
	uint64_t at = io->at;
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

static void advance(struct io *io, uint64_t count)
{
	io->at += count;
	io->left -= count;
	io->remaining -= count;
}

/* Where there are several segments, or something is wrong with one. */
static __attribute__((noinline, cold)) int move_by_parts(struct io *io, enum direction direction,
							 uint8_t *buffer, size_t length)
{
	while (length > 0) {
		if (io->left == 0) {
			io->at = io->next->iov_base;
			io->left = io->next->iov_len;
			io->next++;
			continue;
		}
		size_t part = io->left < length ? io->left : length;
		int64_t moved = move_part(io, direction, buffer, part);
		if (moved < 0)
			return (int)moved;
		advance(io, (uint64_t)moved);
		length -= (size_t)moved;
		if (direction != CLEAR)
			buffer += moved;
	}
	return 0;
}

/* Nearly all are within one segment. */
static inline int move(struct io *io, enum direction direction, void *buffer, size_t length)
{
	if (unlikely(length > io->left))
		return move_by_parts(io, direction, buffer, length);
	if (io->in_kernel)
		move_in_kernel(direction, (void *)(uintptr_t)io->at, buffer, length);
	else if (unlikely(move_in_program(direction, io->at, buffer, length) != 0))
		return move_by_parts(io, direction, buffer, length);
	advance(io, length);
	return 0;
}

int io_put(struct io *io, const void *from, size_t length)
{
	return move(io, PUT, (void *)(uintptr_t)from, length);
}

int io_take(struct io *io, void *to, size_t length) { return move(io, TAKE, to, length); }

int io_clear(struct io *io, size_t length) { return move(io, CLEAR, NULL, length); }
