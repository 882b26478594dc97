/* Locks of whole files. */
#include <calypso/time.h>
#include <file/lock.h>
#include <file/poll.h>

/* Told of each lock that is given up. */
static struct poll_state releases;

static void release(struct open_file *open)
{
	struct file *file = open->file;
	if (open->lock == OPEN_FILE_UNLOCKED)
		return;
	file->shared_locks -= open->lock == OPEN_FILE_SHARED;
	file->exclusive_lock &= open->lock != OPEN_FILE_EXCLUSIVE;
	open->lock = OPEN_FILE_UNLOCKED;
	poll_notify(&releases, POLLOUT);
}

static bool is_excluded(const struct file *file, enum open_file_lock lock)
{
	return file->exclusive_lock || (lock == OPEN_FILE_EXCLUSIVE && file->shared_locks > 0);
}

int lock_set(struct open_file *open, enum open_file_lock lock, bool waits)
{
	struct file *file = open->file;
	if (open->lock == lock)
		return 0;
	release(open);
	if (lock == OPEN_FILE_UNLOCKED)
		return 0;
	while (is_excluded(file, lock)) {
		if (!waits)
			return -EAGAIN;
		int error = poll_wait_for(&releases, POLLOUT, TIME_FOREVER);
		if (error != 0)
			return error;
	}
	/* Another thread may have locked the same open file meanwhile. */
	release(open);
	file->shared_locks += lock == OPEN_FILE_SHARED;
	file->exclusive_lock |= lock == OPEN_FILE_EXCLUSIVE;
	open->lock = lock;
	return 0;
}
