/* eventfd(2): a counter that a read takes and a write adds to. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/anonymous.h>
#include <file/io.h>
#include <process/calls/at.h>

#define EFD_SEMAPHORE 1
#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
	struct file file;
	struct poll_state poll_state;
	uint64_t count;
	bool is_semaphore; /* a read takes one, not all */
};

static struct eventfd *eventfd_of(struct file *file)
{
	return container_of(file, struct eventfd, file);
}

static int wait(struct eventfd *eventfd, unsigned events, unsigned flags)
{
	if ((flags & O_NONBLOCK) != 0)
		return -EAGAIN;
	return poll_wait_for(&eventfd->poll_state, events, TIME_FOREVER);
}

static int eventfd_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)offset;
	struct eventfd *eventfd = eventfd_of(file);
	if (io->remaining < sizeof(eventfd->count))
		return -EINVAL;
	while (eventfd->count == 0) {
		int error = wait(eventfd, POLLIN, flags);
		if (error != 0)
			return error;
	}
	uint64_t taken = eventfd->is_semaphore ? 1 : eventfd->count;
	eventfd->count -= taken;
	poll_notify(&eventfd->poll_state, POLLOUT);
	return io_put(io, &taken, sizeof(taken));
}

static int eventfd_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)offset;
	struct eventfd *eventfd = eventfd_of(file);
	uint64_t added;
	if (io->remaining != sizeof(added))
		return -EINVAL;
	struct io before = *io;
	int error = io_take(io, &added, sizeof(added));
	if (error == 0 && added == UINT64_MAX)
		error = -EINVAL;
	while (error == 0 && added > COUNT_MAX - eventfd->count)
		error = wait(eventfd, POLLOUT, flags);
	if (error != 0) {
		*io = before;
		return error;
	}
	eventfd->count += added;
	if (added > 0)
		poll_notify(&eventfd->poll_state, POLLIN);
	return 0;
}

static unsigned eventfd_poll(struct file *file, unsigned flags)
{
	(void)flags;
	const struct eventfd *eventfd = eventfd_of(file);
	return (eventfd->count > 0 ? POLLIN : 0) | (eventfd->count < COUNT_MAX ? POLLOUT : 0);
}

static const struct file_operations operations = {
	.read = eventfd_read,
	.write = eventfd_write,
	.poll = eventfd_poll,
};

static void release(struct file *file) { kfree(eventfd_of(file)); }

static const struct file_system eventfds = ANONYMOUS_FILE_SYSTEM("[eventfd]", release);

static int64_t make_eventfd(uint32_t count, unsigned flags)
{
	if ((flags & ~(unsigned)(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK)) != 0)
		return -EINVAL;
	struct eventfd *eventfd = kcalloc(1, sizeof(*eventfd));
	if (eventfd == NULL)
		return -ENOMEM;
	file_initialize(&eventfd->file, &eventfds, &operations, ANONYMOUS_MODE, file_now());
	eventfd->file.poll_state = &eventfd->poll_state;
	eventfd->count = count;
	eventfd->is_semaphore = (flags & EFD_SEMAPHORE) != 0;
	return descriptor_add_file(&file_context()->descriptors, &eventfd->file,
				   O_RDWR | (flags & (O_CLOEXEC | O_NONBLOCK)));
}

SYSCALL2(eventfd2, uint32_t, count, unsigned, flags)
{
	return make_eventfd(count, flags);
}

SYSCALL1(eventfd, uint32_t, count)
{
	return make_eventfd(count, 0);
}
