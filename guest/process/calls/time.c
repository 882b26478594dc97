/* Calls on clocks, and sleeping. */
#include <calypso/time.h>
#include <process/calls/wait.h>
#include <process/clock.h>
#include <process/syscall.h>

struct timespec wait_timespec(uint64_t time)
{
	return (struct timespec){
		(int64_t)(time / NANOSECONDS_PER_SECOND),
		(int64_t)(time % NANOSECONDS_PER_SECOND),
	};
}

static int64_t put_time(user_t address, uint64_t time)
{
	struct timespec value = wait_timespec(time);
	return user_put(address, &value);
}

SYSCALL2(clock_gettime, int, number, user_t, address)
{
	struct clock clock;
	uint64_t now;
	if (!clock_find(number, &clock) || !clock_read(&clock, &now))
		return -EINVAL;
	return put_time(address, now);
}

SYSCALL2(clock_getres, int, number, user_t, address)
{
	struct clock clock;
	if (!clock_find(number, &clock))
		return -EINVAL;
	return address == 0 ? 0 : put_time(address, time_resolution());
}

SYSCALL2(gettimeofday, user_t, address, user_t, zone)
{
	static const int32_t utc[2];
	uint64_t now = time_realtime();
	struct timeval value = {
		(int64_t)(now / NANOSECONDS_PER_SECOND),
		(int64_t)(now % NANOSECONDS_PER_SECOND / NANOSECONDS_PER_MICROSECOND),
	};
	if (address != 0 && user_put(address, &value) != 0)
		return -EFAULT;
	return zone != 0 ? user_put(zone, &utc) : 0;
}

SYSCALL1(time, user_t, address)
{
	int64_t now = (int64_t)(time_realtime() / NANOSECONDS_PER_SECOND);
	if (address != 0 && user_put(address, &now) != 0)
		return -EFAULT;
	return now;
}

/* ---- Setting: the clock is the host's, and nobody's to set here ---- */

SYSCALL2(clock_settime, int, id, user_t, address)
{
	struct timespec time;
	uint64_t since_1970;
	if (id != CLOCK_REALTIME)
		return -EINVAL;
	if (user_get(&time, address) != 0)
		return -EFAULT;
	int error = wait_duration(&time, &since_1970);
	return error != 0 ? error : -EPERM;
}

SYSCALL2(settimeofday, user_t, address, user_t, zone)
{
	struct timeval time = {0};
	struct {
		int32_t minutes_west, kind;
	} unused;
	if (address != 0 && user_get(&time, address) != 0)
		return -EFAULT;
	if (time.tv_usec < 0 || time.tv_usec > 1000000)
		return -EINVAL;
	if (zone != 0 && user_get(&unused, zone) != 0)
		return -EFAULT;
	return time.tv_sec < 0 || time.tv_usec == 1000000 ? -EINVAL : -EPERM;
}

/* ---- Sleeping ---- */

int wait_duration(const struct timespec *time, uint64_t *duration)
{
	if (time->tv_sec < 0 || time->tv_nsec < 0 ||
	    time->tv_nsec >= (int64_t)NANOSECONDS_PER_SECOND)
		return -EINVAL;
	uint64_t limit = INT64_MAX / NANOSECONDS_PER_SECOND;
	uint64_t seconds = (uint64_t)time->tv_sec < limit ? (uint64_t)time->tv_sec : limit - 1;
	*duration = seconds * NANOSECONDS_PER_SECOND + (uint64_t)time->tv_nsec;
	return 0;
}

int wait_deadline(user_t address, uint64_t *deadline)
{
	struct timespec time;
	uint64_t duration;
	*deadline = TIME_FOREVER;
	if (address == 0)
		return 0;
	if (user_get(&time, address) != 0)
		return -EFAULT;
	int error = wait_duration(&time, &duration);
	if (error == 0)
		*deadline = duration == 0 ? 0 : time_monotonic() + duration;
	return error;
}

uint64_t wait_milliseconds(int milliseconds)
{
	if (milliseconds <= 0)
		return milliseconds == 0 ? 0 : TIME_FOREVER;
	return time_monotonic() + (uint64_t)milliseconds * NANOSECONDS_PER_MILLISECOND;
}

int wait_with_mask(user_t address, uint64_t size)
{
	uint64_t mask;
	if (address == 0)
		return 0;
	if (size != sizeof(mask))
		return -EINVAL;
	if (user_get(&mask, address) != 0)
		return -EFAULT;
	signal_set_mask_for_call(mask);
	return 0;
}

/* 0, or -ERESTARTNOHAND where a signal has ended the sleep. */
static int sleep_until(const struct clock *clock, uint64_t until)
{
	uint64_t now;
	while (clock_read(clock, &now) && now < until) {
		if (thread_sleep(time_monotonic() + (until - now)) == -EINTR)
			return -ERESTARTNOHAND;
	}
	return 0;
}

static int64_t sleep_on(const struct clock *clock, bool absolute, user_t request, user_t remaining)
{
	struct timespec time;
	uint64_t until, now;
	if (user_get(&time, request) != 0)
		return -EFAULT;
	int error = wait_duration(&time, &until);
	if (error != 0)
		return error;
	if (!absolute && clock_read(clock, &now))
		until += now;
	error = sleep_until(clock, until);
	if (error == 0 || absolute || remaining == 0)
		return error;
	clock_read(clock, &now);
	return put_time(remaining, now < until ? until - now : 0) != 0 ? -EFAULT : error;
}

SYSCALL2(nanosleep, user_t, request, user_t, remaining)
{
	static const struct clock machine = {.kind = CLOCK_OF_MACHINE};
	return sleep_on(&machine, false, request, remaining);
}

SYSCALL4(clock_nanosleep, int, number, int, flags, user_t, request, user_t, remaining)
{
	struct clock clock;
	if (!clock_find(number, &clock))
		return -EINVAL;
	if (clock.kind == CLOCK_OF_THREAD)
		return -EOPNOTSUPP;
	return sleep_on(&clock, (flags & TIMER_ABSTIME) != 0, request, remaining);
}
