/* Clocks and waiting. Monotonic time counts nanoseconds from the machine's creation. */
#ifndef CALYPSO_TIME_H
#define CALYPSO_TIME_H

#include <calypso/types.h>

#define NANOSECONDS_PER_SECOND 1000000000ull
#define TIME_FOREVER UINT64_MAX

/* CLOCK_MONOTONIC and CLOCK_REALTIME in ns. */
uint64_t time_monotonic(void);
uint64_t time_realtime(void);

/* Resolution of both clocks in ns (clock_getres). */
uint64_t time_resolution(void);

/* Do nothing until monotonic `deadline` (TIME_FOREVER: none), console input, or an interrupt, which
 * has been handled then. May return early: the caller looks again. */
void time_idle(uint64_t deadline);

/* Interrupt the program at `deadline`, or earlier: whoever is interrupted looks at the clock, and
 * sets the alarm again. */
void time_set_alarm(uint64_t deadline);

/* A time in nanoseconds from 1970, or before it, as whole seconds and what is above them. */
static inline int64_t time_seconds(int64_t time)
{
	int64_t seconds = time / (int64_t)NANOSECONDS_PER_SECOND;

	return time % (int64_t)NANOSECONDS_PER_SECOND < 0 ? seconds - 1 : seconds;
}

static inline int64_t time_nanoseconds(int64_t time)
{
	return time - time_seconds(time) * (int64_t)NANOSECONDS_PER_SECOND;
}

#endif
