/* Timers that send signals. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <process/calls/wait.h>
#include <process/clock.h>
#include <process/syscall.h>
#include <process/timeout.h>
#include <process/timer.h>

#define CREATED_MAX 64
#define TIMERS (ITIMER_COUNT + CREATED_MAX)

struct timer {
	bool exists;
	struct clock clock;
	uint64_t expires;  /* what its clock shows then; TIME_FOREVER while it does not run */
	uint64_t interval; /* 0: once */
	uint64_t overrun;  /* expirations that the last signal does not tell */
	struct sigevent event;
};

/* The interval timers first, which always exist. */
static struct timer *timers;

/* Reached when the first of them expires. */
static void expire_timers(struct timeout *timeout, uint64_t now);
static struct timeout next_expiry = {.reached = expire_timers};

static struct timer *all_timers(void)
{
	static const int signals[ITIMER_COUNT] = {SIGALRM, SIGVTALRM, SIGPROF};
	static const enum clock_kind kinds[ITIMER_COUNT] = {
		CLOCK_OF_MACHINE, CLOCK_OF_PROCESS, CLOCK_OF_PROCESS};
	if (timers != NULL)
		return timers;
	timers = kcalloc(TIMERS, sizeof(*timers));
	for (unsigned i = 0; timers != NULL && i < TIMERS; i++) {
		timers[i].expires = TIME_FOREVER;
		timers[i].exists = i < ITIMER_COUNT;
		if (i < ITIMER_COUNT) {
			timers[i].event.signal = signals[i];
			timers[i].clock.kind = kinds[i];
		}
	}
	return timers;
}

/* A clock of the processor may stand still: look again, but not more often than this. */
#define CPU_CLOCK_GRAIN NANOSECONDS_PER_MILLISECOND

/* When to look whether a timer has expired. */
static uint64_t look_at(struct timer *timer, uint64_t now)
{
	uint64_t shown;
	if (timer->expires == TIME_FOREVER)
		return TIME_FOREVER;
	if (!clock_read(&timer->clock, &shown)) {
		timer->expires = TIME_FOREVER;
		return TIME_FOREVER;
	}
	uint64_t left = timer->expires > shown ? timer->expires - shown : 0;
	if (clock_is_of_cpu(&timer->clock) && left < CPU_CLOCK_GRAIN)
		left = CPU_CLOCK_GRAIN;
	return now + left;
}

static void update_next(void)
{
	uint64_t next = TIME_FOREVER, now = time_monotonic();
	for (unsigned i = 0; i < TIMERS; i++) {
		uint64_t look = look_at(&timers[i], now);
		if (look < next)
			next = look;
	}
	timeout_set(&next_expiry, next);
}

/* Send the signal of a timer that has expired, and `missed` times besides. While the signal is
 * pending, it only counts. */
static void notify(struct timer *timer, uint64_t missed)
{
	const struct sigevent *event = &timer->event;
	bool is_created = timer >= timers + ITIMER_COUNT;
	int32_t id = (int32_t)(timer - timers - ITIMER_COUNT);
	bool to_thread = event->notify == SIGEV_THREAD_ID;
	struct thread *thread = to_thread ? thread_find(event->thread) : NULL;
	struct siginfo *pending = is_created ? signal_of_timer(thread, id) : NULL;
	timer->overrun = pending != NULL ? timer->overrun + missed + 1 : missed;
	if (pending != NULL) {
		pending->timer.overrun = (int32_t)timer->overrun;
		return;
	}
	struct siginfo info = {.signal = event->signal, .code = is_created ? SI_TIMER : SI_KERNEL};
	if (is_created) {
		info.timer.id = id;
		info.timer.overrun = (int32_t)timer->overrun;
		info.timer.value = event->value;
	}
	if (event->notify != SIGEV_NONE)
		signal_send_info(thread, &info);
}

static void expire(struct timer *timer, uint64_t now)
{
	uint64_t missed = 0;
	if (timer->interval == 0) {
		timer->expires = TIME_FOREVER;
	} else {
		missed = (now - timer->expires) / timer->interval;
		timer->expires += (missed + 1) * timer->interval;
	}
	notify(timer, missed);
}

static void expire_timers(struct timeout *timeout, uint64_t now)
{
	(void)timeout, (void)now;
	for (unsigned i = 0; i < TIMERS; i++) {
		struct timer *timer = &timers[i];
		uint64_t shown;
		if (timer->expires != TIME_FOREVER && clock_read(&timer->clock, &shown) &&
		    timer->expires <= shown)
			expire(timer, shown);
	}
	update_next();
}

void timers_delete(void)
{
	for (unsigned i = ITIMER_COUNT; timers != NULL && i < TIMERS; i++)
		timers[i] = (struct timer){.expires = TIME_FOREVER};
	if (timers != NULL)
		update_next();
}

/* What a timer has left until it expires. */
static uint64_t remaining(const struct timer *timer)
{
	uint64_t now;
	if (timer->expires == TIME_FOREVER || !clock_read(&timer->clock, &now))
		return 0;
	/* A timer that runs never has 0 left. */
	return timer->expires > now ? timer->expires - now : 1;
}

/* ---- alarm, setitimer ---- */

static struct timeval to_timeval(uint64_t time)
{
	return (struct timeval){
		(int64_t)(time / NANOSECONDS_PER_SECOND),
		(int64_t)(time % NANOSECONDS_PER_SECOND / NANOSECONDS_PER_MICROSECOND),
	};
}

static int from_timeval(const struct timeval *value, uint64_t *time)
{
	struct timespec precise = {value->tv_sec, value->tv_usec * NANOSECONDS_PER_MICROSECOND};
	return value->tv_usec >= 1000000 || value->tv_usec < 0 ? -EINVAL
							       : wait_duration(&precise, time);
}

/* Let a timer expire after `duration`; 0 stops it. */
static void start(struct timer *timer, uint64_t duration, uint64_t interval)
{
	uint64_t now;
	bool runs = duration != 0 && clock_read(&timer->clock, &now);
	timer->expires = runs ? now + duration : TIME_FOREVER;
	timer->interval = interval;
	timer->overrun = 0;
	update_next();
}

static int put_interval_timer(int which, user_t address)
{
	const struct timer *timer = &timers[which];
	struct itimerval value = {to_timeval(timer->interval), to_timeval(remaining(timer))};
	return user_put(address, &value);
}

SYSCALL2(getitimer, int, which, user_t, address)
{
	if (which < 0 || which >= ITIMER_COUNT)
		return -EINVAL;
	return all_timers() == NULL ? -ENOMEM : put_interval_timer(which, address);
}

SYSCALL3(setitimer, int, which, user_t, new, user_t, old)
{
	struct itimerval value = {0};
	uint64_t duration, interval;
	if (new != 0 && user_get(&value, new) != 0)
		return -EFAULT;
	if (which < 0 || which >= ITIMER_COUNT || from_timeval(&value.it_value, &duration) != 0 ||
	    from_timeval(&value.it_interval, &interval) != 0)
		return -EINVAL;
	if (all_timers() == NULL)
		return -ENOMEM;
	int error = old == 0 ? 0 : put_interval_timer(which, old);
	if (error == 0)
		start(&timers[which], duration, interval);
	return error;
}

SYSCALL1(alarm, uint32_t, seconds)
{
	if (all_timers() == NULL)
		return 0;
	uint64_t left = remaining(&timers[ITIMER_REAL]);
	start(&timers[ITIMER_REAL], seconds * NANOSECONDS_PER_SECOND, 0);
	/* To the nearest second, but never to 0. */
	uint64_t rounded = (left + NANOSECONDS_PER_SECOND / 2) / NANOSECONDS_PER_SECOND;
	return rounded == 0 && left > 0 ? 1 : (int64_t)rounded;
}

/* ---- timer_create ---- */

static struct timer *find_created(int id)
{
	if (timers == NULL || id < 0 || id >= CREATED_MAX || !timers[ITIMER_COUNT + id].exists)
		return NULL;
	return &timers[ITIMER_COUNT + id];
}

static bool is_valid_event(const struct sigevent *event)
{
	if (event->notify == SIGEV_NONE)
		return true;
	if (event->notify == SIGEV_THREAD_ID ? thread_find(event->thread) == NULL
					     : event->notify != SIGEV_SIGNAL)
		return false;
	return event->signal > 0 && event->signal <= SIGNAL_COUNT;
}

static struct timer *find_unused(void)
{
	for (unsigned i = ITIMER_COUNT; i < TIMERS; i++) {
		if (!timers[i].exists)
			return &timers[i];
	}
	return NULL;
}

SYSCALL3(timer_create, int, number, user_t, event_address, user_t, id_address)
{
	struct sigevent event = {.signal = SIGALRM};
	struct clock clock;
	if (!clock_find(number, &clock))
		return -EINVAL;
	if (event_address != 0 && user_get(&event, event_address) != 0)
		return -EFAULT;
	if (!is_valid_event(&event))
		return -EINVAL;
	struct timer *timer = all_timers() == NULL ? NULL : find_unused();
	if (timer == NULL)
		return -EAGAIN;
	int32_t id = (int32_t)(timer - timers - ITIMER_COUNT);
	if (event_address == 0)
		event.value = (uint64_t)id;
	if (user_put(id_address, &id) != 0)
		return -EFAULT;
	*timer = (struct timer){
		.exists = true, .clock = clock, .expires = TIME_FOREVER, .event = event};
	return 0;
}

static int put_timer(const struct timer *timer, user_t address)
{
	struct itimerspec value = {wait_timespec(timer->interval), wait_timespec(remaining(timer))};
	return user_put(address, &value);
}

SYSCALL4(timer_settime, int, id, int, flags, user_t, new, user_t, old)
{
	struct timer *timer = find_created(id);
	struct itimerspec value;
	uint64_t time, interval;
	if (new == 0 || timer == NULL)
		return -EINVAL;
	if (user_get(&value, new) != 0)
		return -EFAULT;
	if (wait_duration(&value.it_value, &time) != 0 ||
	    wait_duration(&value.it_interval, &interval) != 0)
		return -EINVAL;
	if (time != 0 && (flags & TIMER_ABSTIME) != 0) {
		uint64_t now = 0;
		clock_read(&timer->clock, &now);
		time = time > now ? time - now : 1;
	}
	int error = old == 0 ? 0 : put_timer(timer, old);
	if (error == 0)
		start(timer, time, interval);
	return error;
}

SYSCALL2(timer_gettime, int, id, user_t, address)
{
	const struct timer *timer = find_created(id);
	return timer == NULL ? -EINVAL : put_timer(timer, address);
}

SYSCALL1(timer_getoverrun, int, id)
{
	const struct timer *timer = find_created(id);
	return timer == NULL ? -EINVAL : (int64_t)timer->overrun;
}

SYSCALL1(timer_delete, int, id)
{
	struct timer *timer = find_created(id);
	if (timer == NULL)
		return -EINVAL;
	*timer = (struct timer){.expires = TIME_FOREVER};
	update_next();
	return 0;
}
