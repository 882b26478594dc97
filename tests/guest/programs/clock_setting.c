/* Setting the clock to what no clock can show: the same for whoever may set it. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "show.h"

#define NOWHERE ((void *)16)

static long set_day(const void *time, const void *zone)
{
	return syscall(SYS_settimeofday, time, zone);
}

int main(void)
{
	struct timeval whole_second = {0, 1000000}, more = {0, 1000001};
	struct timeval negative = {0, -1}, before = {-1, 0};
	struct timespec long_ago = {-1, 0}, odd = {0, 1000000000};
	SHOW(set_day(&whole_second, NULL));
	SHOW(set_day(&more, NOWHERE));
	SHOW(set_day(&negative, NULL));
	SHOW(set_day(&before, NULL));
	SHOW(set_day(&before, NOWHERE));
	SHOW(set_day(NOWHERE, NULL));
	SHOW(set_day(NULL, NOWHERE));
	SHOW(clock_settime(CLOCK_REALTIME, &long_ago));
	SHOW(clock_settime(CLOCK_REALTIME, &odd));
	SHOW(clock_settime(CLOCK_MONOTONIC, &odd));
	SHOW(clock_settime(12345, &odd));
	SHOW(syscall(SYS_clock_settime, CLOCK_REALTIME, NOWHERE));
	return 0;
}
