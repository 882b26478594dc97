/* Clocks: the processor's counter, anchored once to the host's clock; or the host's clock. */
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/host.h>
#include <calypso/irq.h>
#include <calypso/time.h>

#define FRACTION_BITS 32

/* Monotonic time = start + (counter - counter_start) * scale / 2^32. */
static struct {
	bool set;
	uint64_t start;
	uint64_t wall_minus_monotonic;
	uint64_t counter_start;
	uint64_t scale;
} anchor;

static void set_anchor(void)
{
	uint64_t wall;
	int64_t now = host_clock(&wall);

	anchor.counter_start = arch_counter();
	if (bootinfo.counter_hz != 0)
		anchor.scale = (NANOSECONDS_PER_SECOND << FRACTION_BITS) / bootinfo.counter_hz;
	if (now >= 0) {
		anchor.start = (uint64_t)now;
		anchor.wall_minus_monotonic = wall - (uint64_t)now;
	} else {
		anchor.wall_minus_monotonic = bootinfo.wall_clock;
	}
	anchor.set = true;
}

uint64_t time_monotonic(void)
{
	if (unlikely(!anchor.set))
		set_anchor();
	if (anchor.scale == 0) {
		uint64_t wall;
		int64_t now = host_clock(&wall);

		return now < 0 ? 0 : (uint64_t)now;
	}
	unsigned __int128 passed = (unsigned __int128)(arch_counter() - anchor.counter_start);
	return anchor.start + (uint64_t)(passed * anchor.scale >> FRACTION_BITS);
}

uint64_t time_realtime(void)
{
	uint64_t now = time_monotonic();

	return now + anchor.wall_minus_monotonic;
}

uint64_t time_resolution(void)
{
	return 1;
}

void time_idle(uint64_t deadline)
{
	if (bootinfo_has(CALYPSO_FEATURE_IDLE) && host_idle(deadline) >= 0)
		return;
	arch_pause();
}

/* When the timer will interrupt at the latest. */
static uint64_t alarm = TIME_FOREVER;

void time_set_alarm(uint64_t deadline)
{
	/* One that comes too early costs less than to set it with each change of mind. */
	if (deadline >= alarm || irq_initialize() != 0)
		return;
	uint64_t now = time_monotonic();
	alarm = deadline;
	arch_timer_start(deadline > now ? deadline - now : 0);
}

void time_alarm_expired(void) { alarm = TIME_FOREVER; }
