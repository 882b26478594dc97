/* epoll_create(2), epoll_ctl(2), epoll_wait(2). */
#include <calypso/time.h>
#include <file/epoll.h>
#include <file/poll.h>
#include <process/calls/at.h>
#include <process/calls/wait.h>

#define EVENTS_MAX (INT32_MAX / (int)sizeof(struct epoll_event))

/* ---- Instances and their items ---- */

SYSCALL1(epoll_create1, unsigned, flags)
{
	if ((flags & ~(unsigned)O_CLOEXEC) != 0)
		return -EINVAL;
	struct file *file = epoll_make();
	if (file == NULL)
		return -ENOMEM;
	return descriptor_add_file(&file_context()->descriptors, file, O_RDWR | flags);
}

SYSCALL1(epoll_create, int, size)
{
	const uint64_t no_flags[6] = {0};
	return size <= 0 ? -EINVAL : sys_epoll_create1(no_flags);
}

SYSCALL4(epoll_ctl, int, epoll_number, int, operation, int, number, user_t, address)
{
	struct epoll_event event = {0};
	if (operation != EPOLL_CTL_DEL && user_get(&event, address) != 0)
		return -EFAULT;
	struct open_file *instance = at_open_file(epoll_number);
	struct open_file *open = at_open_file(number);
	if (instance == NULL || open == NULL)
		return -EBADF;
	if (open->file->poll_state == NULL)
		return -EPERM;
	struct epoll *epoll = epoll_of(instance->file);
	if (epoll == NULL || instance == open)
		return -EINVAL;
	return epoll_control(epoll, operation, open, number, &event);
}

/* ---- Waiting ---- */

static int put_event(void *argument, unsigned place, const struct epoll_event *event)
{
	const user_t *events = argument;
	return user_put(*events + place * sizeof(*event), event);
}

static int64_t wait(struct epoll *epoll, user_t events, unsigned count, uint64_t deadline)
{
	for (;;) {
		poll_look_outside();
		int found = epoll_collect(epoll, count, put_event, &events);
		if (found != 0 || deadline == 0)
			return found;
		int result = epoll_wait_for_items(epoll, deadline);
		if (result == -EINTR)
			return -EINTR;
		if (result == -ETIMEDOUT)
			deadline = 0;
	}
}

static int64_t wait_for_events(int number, user_t events, int count, uint64_t deadline)
{
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	if (count <= 0 || count > EVENTS_MAX)
		return -EINVAL;
	if (events > USER_END || (uint64_t)count * sizeof(struct epoll_event) > USER_END - events)
		return -EFAULT;
	struct epoll *epoll = epoll_of(open->file);
	if (epoll == NULL)
		return -EINVAL;
	open_file_get(open);
	int64_t result = wait(epoll, events, (unsigned)count, deadline);
	open_file_put(open);
	return result;
}

SYSCALL4(epoll_wait, int, number, user_t, events, int, count, int, milliseconds)
{
	return wait_for_events(number, events, count, wait_milliseconds(milliseconds));
}

SYSCALL6(epoll_pwait, int, number, user_t, events, int, count, int, milliseconds, user_t, mask,
	 uint64_t, mask_size)
{
	int error = wait_with_mask(mask, mask_size);
	if (error != 0)
		return error;
	return wait_for_events(number, events, count, wait_milliseconds(milliseconds));
}

SYSCALL6(epoll_pwait2, int, number, user_t, events, int, count, user_t, time, user_t, mask,
	 uint64_t, mask_size)
{
	uint64_t deadline;
	int error = wait_deadline(time, &deadline);
	if (error == 0)
		error = wait_with_mask(mask, mask_size);
	return error != 0 ? error : wait_for_events(number, events, count, deadline);
}
