/* signalfd(2): signals that are blocked, read from a file. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/anonymous.h>
#include <file/io.h>
#include <process/calls/at.h>

struct signalfd {
	struct file file;
	uint64_t mask;
};

static struct signalfd *signalfd_of(struct file *file)
{
	return container_of(file, struct signalfd, file);
}

static struct signalfd_siginfo describe(const struct siginfo *info)
{
	struct signalfd_siginfo told = {
		.ssi_signo = (uint32_t)info->signal,
		.ssi_errno = info->error,
		.ssi_code = info->code,
	};
	if (info->code == SI_TIMER) {
		told.ssi_tid = (uint32_t)info->timer.id;
		told.ssi_overrun = (uint32_t)info->timer.overrun;
		told.ssi_ptr = info->timer.value;
	} else {
		told.ssi_pid = (uint32_t)info->sender.process;
		told.ssi_uid = info->sender.user;
		told.ssi_ptr = info->code == SI_QUEUE ? info->sender.value : 0;
	}
	told.ssi_int = (int32_t)told.ssi_ptr;
	return told;
}

/* As many as are pending and fit. */
static int signalfd_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)offset;
	struct signalfd *signalfd = signalfd_of(file);
	struct siginfo info;
	if (io->remaining < sizeof(struct signalfd_siginfo))
		return -EINVAL;
	while (!signal_is_pending(signalfd->mask)) {
		if ((flags & O_NONBLOCK) != 0)
			return -EAGAIN;
		int error = poll_wait_for(&signal_arrivals, POLLIN, TIME_FOREVER);
		if (error != 0)
			return error;
	}
	while (io->remaining >= sizeof(struct signalfd_siginfo) &&
	       signal_take(signalfd->mask, &info) != 0) {
		struct signalfd_siginfo told = describe(&info);
		int error = io_put(io, &told, sizeof(told));
		if (error != 0)
			return error;
	}
	return 0;
}

static unsigned signalfd_poll(struct file *file, unsigned flags)
{
	(void)flags;
	return signal_is_pending(signalfd_of(file)->mask) ? POLLIN : 0;
}

static const struct file_operations operations = {.read = signalfd_read, .poll = signalfd_poll};

static void release(struct file *file) { kfree(signalfd_of(file)); }

static const struct file_system signalfds = ANONYMOUS_FILE_SYSTEM("[signalfd]", release);

static int64_t make_signalfd(uint64_t mask, unsigned flags)
{
	struct signalfd *signalfd = kcalloc(1, sizeof(*signalfd));
	if (signalfd == NULL)
		return -ENOMEM;
	file_initialize(&signalfd->file, &signalfds, &operations, ANONYMOUS_MODE, file_now());
	signalfd->file.poll_state = &signal_arrivals;
	signalfd->mask = mask;
	return descriptor_add_file(&file_context()->descriptors, &signalfd->file, O_RDWR | flags);
}

static int64_t change_mask(int number, uint64_t mask)
{
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	if (open->file->operations != &operations)
		return -EINVAL;
	signalfd_of(open->file)->mask = mask;
	poll_notify(&signal_arrivals, POLLIN);
	return number;
}

static int64_t signalfd(int number, user_t address, uint64_t size, unsigned flags)
{
	uint64_t mask;
	if (size != sizeof(mask))
		return -EINVAL;
	if (user_get(&mask, address) != 0)
		return -EFAULT;
	if ((flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK)) != 0)
		return -EINVAL;
	mask &= ~SIGNALS_UNSTOPPABLE;
	return number == -1 ? make_signalfd(mask, flags) : change_mask(number, mask);
}

SYSCALL4(signalfd4, int, number, user_t, mask, uint64_t, size, unsigned, flags)
{
	return signalfd(number, mask, size, flags);
}

SYSCALL3(signalfd, int, number, user_t, mask, uint64_t, size)
{
	return signalfd(number, mask, size, 0);
}
