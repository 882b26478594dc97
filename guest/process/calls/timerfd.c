/* timerfd_create(2): timers whose expirations are read from a file.
 *
 * A timer with an interval is set anew when somebody looks at it, and counts then what it missed;
 * so one that nobody reads costs nothing.
 */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/anonymous.h>
#include <file/io.h>
#include <process/calls/at.h>
#include <process/calls/wait.h>
#include <process/timeout.h>

#define TFD_TIMER_ABSTIME 1
#define TFD_TIMER_CANCEL_ON_SET 2 /* nobody sets the clock */

struct timerfd {
	struct file file;
	struct poll_state poll_state;
	struct timeout timeout;
	int clock;
	int64_t due;	      /* monotonic; below 0: before the machine was there */
	uint64_t interval;    /* 0: it expires once */
	uint64_t expirations; /* not yet read */
	bool expired;	      /* the timeout was reached, and what comes after it is not counted */
};

static struct timerfd *timerfd_of(struct file *file)
{
	return container_of(file, struct timerfd, file);
}

static void expire(struct timeout *timeout, uint64_t now)
{
	(void)now;
	struct timerfd *timer = container_of(timeout, struct timerfd, timeout);
	timer->expirations++;
	timer->expired = true;
	poll_notify(&timer->poll_state, POLLIN);
}

static void set(struct timerfd *timer, int64_t due)
{
	timer->due = due;
	timeout_set(&timer->timeout, due > 0 ? (uint64_t)due : 0);
}

/* Count the expirations since the first one, and set the timer for the next. */
static void catch_up(struct timerfd *timer)
{
	uint64_t now = time_monotonic();
	if (!timer->expired || timer->interval == 0)
		return;
	uint64_t missed = (now - (uint64_t)timer->due) / timer->interval;
	timer->expirations += missed;
	timer->expired = false;
	set(timer, timer->due + (int64_t)((missed + 1) * timer->interval));
}

static int timerfd_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)offset;
	struct timerfd *timer = timerfd_of(file);
	if (io->remaining < sizeof(timer->expirations))
		return -EINVAL;
	timeouts_expire(time_monotonic());
	while (timer->expirations == 0) {
		if ((flags & O_NONBLOCK) != 0)
			return -EAGAIN;
		int error = poll_wait_for(&timer->poll_state, POLLIN, TIME_FOREVER);
		if (error != 0)
			return error;
	}
	catch_up(timer);
	uint64_t expirations = timer->expirations;
	timer->expirations = 0;
	return io_put(io, &expirations, sizeof(expirations));
}

static unsigned timerfd_poll(struct file *file, unsigned flags)
{
	(void)flags;
	return timerfd_of(file)->expirations > 0 ? POLLIN : 0;
}

static const struct file_operations operations = {.read = timerfd_read, .poll = timerfd_poll};

static void release(struct file *file)
{
	timeout_cancel(&timerfd_of(file)->timeout);
	kfree(timerfd_of(file));
}

static const struct file_system timerfds = ANONYMOUS_FILE_SYSTEM("[timerfd]", release);

static bool is_clock(int clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
	       clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM;
}

SYSCALL2(timerfd_create, int, clock, unsigned, flags)
{
	if ((flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK)) != 0 || !is_clock(clock))
		return -EINVAL;
	struct timerfd *timer = kcalloc(1, sizeof(*timer));
	if (timer == NULL)
		return -ENOMEM;
	file_initialize(&timer->file, &timerfds, &operations, ANONYMOUS_MODE, file_now());
	timer->file.poll_state = &timer->poll_state;
	timer->timeout.reached = expire;
	timer->clock = clock;
	return descriptor_add_file(&file_context()->descriptors, &timer->file, O_RDWR | flags);
}

/* The timer of a descriptor. 0, -EBADF or -EINVAL. */
static int find(int number, struct timerfd **timer)
{
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	if (open->file->operations != &operations)
		return -EINVAL;
	*timer = timerfd_of(open->file);
	return 0;
}

static int put_value(struct timerfd *timer, user_t address)
{
	timeouts_expire(time_monotonic());
	catch_up(timer);
	uint64_t now = time_monotonic();
	uint64_t left = 0;
	if (timer->timeout.is_set)
		left = timer->timeout.at > now ? timer->timeout.at - now : 1;
	struct itimerspec value = {wait_timespec(timer->interval), wait_timespec(left)};
	return user_put(address, &value);
}

/* The monotonic time that a value of this timer's clock means. */
static int64_t monotonic_time(const struct timerfd *timer, uint64_t time, bool absolute)
{
	bool realtime = timer->clock == CLOCK_REALTIME || timer->clock == CLOCK_REALTIME_ALARM;
	uint64_t now = time_monotonic();
	if (!absolute)
		return (int64_t)(time < INT64_MAX - now ? now + time : INT64_MAX);
	return (int64_t)(realtime ? time - (time_realtime() - now) : time);
}

SYSCALL4(timerfd_settime, int, number, int, flags, user_t, new, user_t, old)
{
	struct timerfd *timer;
	struct itimerspec value;
	uint64_t time, interval;
	if (user_get(&value, new) != 0)
		return -EFAULT;
	if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0 ||
	    wait_duration(&value.it_value, &time) != 0 ||
	    wait_duration(&value.it_interval, &interval) != 0)
		return -EINVAL;
	int error = find(number, &timer);
	if (error == 0 && old != 0)
		error = put_value(timer, old);
	if (error != 0)
		return error;
	timer->interval = interval;
	timer->expirations = 0;
	timer->expired = false;
	if (time == 0)
		timeout_cancel(&timer->timeout);
	else
		set(timer, monotonic_time(timer, time, (flags & TFD_TIMER_ABSTIME) != 0));
	return 0;
}

SYSCALL2(timerfd_gettime, int, number, user_t, address)
{
	struct timerfd *timer;
	int error = find(number, &timer);
	return error != 0 ? error : put_value(timer, address);
}
