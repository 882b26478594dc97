/* Calls on descriptors as such. */
#include <file/lock.h>
#include <file/permission.h>
#include <file/pipe.h>
#include <process/calls/at.h>
#include <uapi/termios.h>

static struct descriptor_table *table(void) { return &file_context()->descriptors; }

SYSCALL1(close, int, number)
{
	return descriptor_close(table(), number);
}

SYSCALL3(close_range, unsigned, first, unsigned, last, unsigned, flags)
{
	if (first > last || (flags & ~(unsigned)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) != 0)
		return -EINVAL;
	for (uint64_t number = first; number <= last && number < table()->capacity; number++) {
		struct descriptor *slot = descriptor_slot(table(), (int)number);
		if (slot == NULL)
			continue;
		if ((flags & CLOSE_RANGE_CLOEXEC) != 0)
			slot->close_on_exec = true;
		else
			descriptor_close(table(), (int)number);
	}
	return 0;
}

static int64_t duplicate(int number, int minimum, bool close_on_exec)
{
	struct open_file *open = descriptor_find(table(), number);
	if (open == NULL)
		return -EBADF;
	if (minimum < 0 || (uint64_t)minimum >= table()->limit)
		return -EINVAL;
	return descriptor_add(table(), open_file_get(open), minimum, close_on_exec);
}

SYSCALL1(dup, int, number)
{
	return duplicate(number, 0, false);
}

SYSCALL3(dup3, int, from, int, to, unsigned, flags)
{
	if ((flags & ~(unsigned)O_CLOEXEC) != 0 || from == to)
		return -EINVAL;
	struct open_file *open = descriptor_find(table(), from);
	if (open == NULL)
		return -EBADF;
	return descriptor_set(table(), open_file_get(open), to, (flags & O_CLOEXEC) != 0);
}

SYSCALL2(dup2, int, from, int, to)
{
	struct open_file *open = descriptor_find(table(), from);
	if (open == NULL)
		return -EBADF;
	if (from == to)
		return to;
	return descriptor_set(table(), open_file_get(open), to, false);
}

static int64_t set_flags(struct open_file *open, unsigned flags)
{
	uint32_t mode = open->file->mode;
	if ((flags & O_DIRECT) != 0 && !S_ISFIFO(mode) && !S_ISREG(mode) && !S_ISBLK(mode))
		return -EINVAL;
	if ((flags & ~open->flags & O_NOATIME) != 0 && !permission_is_owner(open->file))
		return -EPERM;
	open->flags = (open->flags & ~(unsigned)OPEN_FILE_SETTABLE) | (flags & OPEN_FILE_SETTABLE);
	return 0;
}

/* Locks of ranges are between processes, of which there is one: each could be had. */
static int64_t get_lock(user_t address)
{
	struct flock lock;
	if (user_get(&lock, address) != 0)
		return -EFAULT;
	if (lock.l_type != F_RDLCK && lock.l_type != F_WRLCK)
		return -EINVAL;
	lock.l_type = F_UNLCK;
	return user_put(address, &lock);
}

static int64_t set_lock(const struct open_file *open, user_t address)
{
	struct flock lock;
	if (user_get(&lock, address) != 0)
		return -EFAULT;
	if (lock.l_type < F_RDLCK || lock.l_type > F_UNLCK || lock.l_whence < SEEK_SET ||
	    lock.l_whence > SEEK_END)
		return -EINVAL;
	bool wrong = (lock.l_type == F_RDLCK && !open_file_readable(open)) ||
		     (lock.l_type == F_WRLCK && !open_file_writable(open));
	return wrong ? -EBADF : 0;
}

static int64_t control_open_file(struct open_file *open, int command, uint64_t argument)
{
	switch (command) {
	case F_SETFL:
		return set_flags(open, (unsigned)argument);
	case F_GETLK:
		return get_lock(argument);
	case F_SETLK:
	case F_SETLKW:
		return set_lock(open, argument);
	case F_GETPIPE_SZ:
		return pipe_capacity(open->file);
	case F_SETPIPE_SZ:
		return pipe_set_capacity(open->file, (unsigned)argument);
	default:
		return -EINVAL;
	}
}

SYSCALL3(fcntl, int, number, int, command, uint64_t, argument)
{
	struct descriptor *slot = descriptor_slot(table(), number);
	if (slot == NULL)
		return -EBADF;
	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return duplicate(number, (int)argument, command == F_DUPFD_CLOEXEC);
	case F_GETFD:
		return slot->close_on_exec ? FD_CLOEXEC : 0;
	case F_SETFD:
		slot->close_on_exec = (argument & FD_CLOEXEC) != 0;
		return 0;
	case F_GETFL:
		return slot->open->flags;
	default:
		if ((slot->open->flags & O_PATH) != 0)
			return -EBADF;
		return control_open_file(slot->open, command, argument);
	}
}

static int64_t set_nonblocking(struct open_file *open, user_t argument)
{
	int32_t on;
	if (user_get(&on, argument) != 0)
		return -EFAULT;
	unsigned flags = open->flags & ~(unsigned)O_NONBLOCK;
	return set_flags(open, on != 0 ? flags | O_NONBLOCK : flags);
}

static int64_t bytes_to_read(const struct open_file *open, user_t argument)
{
	int32_t count = (int32_t)(open->file->size - open->position);
	return user_put(argument, &count);
}

SYSCALL3(ioctl, int, number, unsigned, request, uint64_t, argument)
{
	struct descriptor *slot = descriptor_slot(table(), number);
	struct open_file *open = at_open_file(number);
	if (slot == NULL || open == NULL)
		return -EBADF;
	switch (request) {
	case FIOCLEX:
	case FIONCLEX:
		slot->close_on_exec = request == FIOCLEX;
		return 0;
	case FIONBIO:
		return set_nonblocking(open, argument);
	case FIONREAD:
		if (S_ISREG(open->file->mode))
			return bytes_to_read(open, argument);
		break;
	default:
		break;
	}
	if (open->file->operations->control == NULL)
		return -ENOTTY;
	return open->file->operations->control(open->file, request, argument);
}

SYSCALL2(flock, int, number, int, operation)
{
	enum { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 };
	enum open_file_lock lock;
	switch (operation & ~LOCK_NB) {
	case LOCK_SH:
		lock = OPEN_FILE_SHARED;
		break;
	case LOCK_EX:
		lock = OPEN_FILE_EXCLUSIVE;
		break;
	case LOCK_UN:
		lock = OPEN_FILE_UNLOCKED;
		break;
	default:
		return -EINVAL;
	}
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	open_file_get(open);
	int error = lock_set(open, lock, (operation & LOCK_NB) == 0);
	open_file_put(open);
	return error;
}
