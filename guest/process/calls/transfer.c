/* Calls that move data between an open file and one buffer. */
#include <calypso/lib.h>
#include <process/calls/at.h>
#include <process/calls/transfer.h>

static int64_t transfer_buffer(int number, user_t buffer, uint64_t length, enum way way,
			       const uint64_t *offset)
{
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	if ((int64_t)length < 0)
		return -EINVAL;
	struct io io = io_program(buffer, length);
	/* While this thread waits, another one may close the descriptor. */
	open_file_get(open);
	int64_t result = transfer(open, &io, way, offset);
	open_file_put(open);
	return result;
}

SYSCALL3(read, int, number, user_t, buffer, uint64_t, length)
{
	return transfer_buffer(number, buffer, length, READ, NULL);
}

SYSCALL3(write, int, number, user_t, buffer, uint64_t, length)
{
	return transfer_buffer(number, buffer, length, WRITE, NULL);
}

SYSCALL4(pread64, int, number, user_t, buffer, uint64_t, length, int64_t, offset)
{
	uint64_t at = (uint64_t)offset;
	return offset < 0 ? -EINVAL : transfer_buffer(number, buffer, length, READ, &at);
}

SYSCALL4(pwrite64, int, number, user_t, buffer, uint64_t, length, int64_t, offset)
{
	uint64_t at = (uint64_t)offset;
	return offset < 0 ? -EINVAL : transfer_buffer(number, buffer, length, WRITE, &at);
}

SYSCALL3(lseek, int, number, int64_t, offset, int, whence)
{
	struct open_file *open = at_open_file(number);
	return open == NULL ? -EBADF : open_file_seek(open, offset, whence);
}

/* ---- Advice and durability ---- */

static int64_t check_descriptor(int number) { return at_open_file(number) == NULL ? -EBADF : 0; }

static int64_t make_durable(int number)
{
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	if (open->file->operations->sync != NULL)
		return open->file->operations->sync(open->file);
	return S_ISREG(open->file->mode) || S_ISDIR(open->file->mode) ? 0 : -EINVAL;
}

SYSCALL1(fsync, int, number)
{
	return make_durable(number);
}

SYSCALL1(fdatasync, int, number)
{
	return make_durable(number);
}

SYSCALL4(sync_file_range, int, number, int64_t, offset, int64_t, length, unsigned, flags)
{
	const unsigned known = 7; /* SYNC_FILE_RANGE_* */
	const struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	if ((flags & ~known) != 0 || offset < 0 || length < 0 || length > INT64_MAX - offset)
		return -EINVAL;
	uint32_t mode = open->file->mode;
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISBLK(mode) ? 0 : -ESPIPE;
}

SYSCALL3(readahead, int, number, int64_t, offset, uint64_t, length)
{
	const struct open_file *open = at_open_file(number);
	(void)offset, (void)length;
	if (open == NULL || !open_file_readable(open))
		return -EBADF;
	return S_ISREG(open->file->mode) ? 0 : -EINVAL;
}

SYSCALL1(syncfs, int, number)
{
	return check_descriptor(number);
}

SYSCALL0(sync)
{
	return 0;
}

SYSCALL4(fadvise64, int, number, int64_t, offset, int64_t, length, int, advice)
{
	const int last_advice = 5; /* POSIX_FADV_NOREUSE */
	struct open_file *open = at_open_file(number);
	(void)offset;
	if (open == NULL)
		return -EBADF;
	if (S_ISFIFO(open->file->mode))
		return -ESPIPE;
	return length < 0 || advice < 0 || advice > last_advice ? -EINVAL : 0;
}
