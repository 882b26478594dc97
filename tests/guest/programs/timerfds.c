/* timerfd: timers that can be waited for. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "show.h"
#include "anonymous.h"

static struct itimerspec after(long first, long interval)
{
	return (struct itimerspec){
		.it_value = {first / 1000, first % 1000 * 1000000},
		.it_interval = {interval / 1000, interval % 1000 * 1000000},
	};
}

static void expiring_once(int fd)
{
	struct itimerspec set, old;
	show_name(fd);
	SHOW(fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
	SHOW(get(fd));
	SHOW(events(fd));
	SHOW(write(fd, &value, 8));
	set = after(200, 0);
	SHOW(timerfd_settime(fd, 0, &set, NULL));
	SHOW(get(fd));
	SHOW(timerfd_gettime(fd, &old));
	SHOW(old.it_value.tv_sec == 0 && old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 200000000);
	struct pollfd entry = {fd, POLLIN, 0};
	SHOW(poll(&entry, 1, 10000));
	SHOW(read(fd, &value, 7));
	SHOW(get(fd));
	SHOW(value);
	SHOW(get(fd));
	SHOW(timerfd_gettime(fd, &old));
	SHOW(old.it_value.tv_sec + old.it_value.tv_nsec);
}

static void repeating(int fd)
{
	struct itimerspec set, old;
	set = after(1, 1);
	SHOW(timerfd_settime(fd, 0, &set, &old));
	usleep(10000);
	SHOW(get(fd));
	SHOW(value >= 9);
	SHOW(timerfd_gettime(fd, &old));
	SHOW(old.it_interval.tv_nsec);
	set = after(0, 1);
	SHOW(timerfd_settime(fd, 0, &set, &old));
	SHOW(old.it_interval.tv_nsec);
	usleep(3000);
	SHOW(get(fd));
	set = after(100000, 7);
	SHOW(timerfd_settime(fd, 0, &set, NULL));
	SHOW(timerfd_settime(fd, 0, &set, &old));
	SHOW(old.it_value.tv_sec >= 90);
	SHOW(old.it_interval.tv_nsec);
	set = (struct itimerspec){.it_value = {0, 1}};
	SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL));
	usleep(2000);
	SHOW(get(fd));
	SHOW(value);
}

static void refused(int fd)
{
	struct itimerspec set = after(1, 0), old;
	set.it_value.tv_nsec = 1000000000;
	SHOW(timerfd_settime(fd, 0, &set, NULL));
	set.it_value.tv_nsec = -1;
	SHOW(timerfd_settime(fd, 0, &set, NULL));
	set = after(1, 0);
	SHOW(timerfd_settime(fd, 4, &set, NULL));
	SHOW(timerfd_settime(0, 0, &set, NULL));
	SHOW(timerfd_settime(99, 0, &set, NULL));
	SHOW(timerfd_settime(fd, 0, NULL, NULL));
	SHOW(timerfd_gettime(fd, NULL));
	SHOW(timerfd_gettime(0, &old));
	SHOW(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
	SHOW(timerfd_create(CLOCK_MONOTONIC, 1));
}

static void of_wall_time(void)
{
	struct itimerspec set;
	int fd = timerfd_create(CLOCK_REALTIME, 0);
	clock_gettime(CLOCK_REALTIME, &set.it_value);
	set.it_value.tv_sec -= 10;
	set.it_interval = (struct timespec){4, 0};
	SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL));
	SHOW(get(fd));
	SHOW(value);
	set = after(3, 0);
	SHOW(timerfd_settime(fd, 0, &set, NULL));
	SHOW(get(fd));
	SHOW(value);
	close(fd);
}

int main(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	expiring_once(fd);
	repeating(fd);
	refused(fd);
	close(fd);
	of_wall_time();
	SHOW(close(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC)));
	return 0;
}
