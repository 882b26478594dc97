/* eventfd: counters and semaphores that can be waited for. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "show.h"
#include "anonymous.h"

static void counting(void)
{
	int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
	char bytes[100];
	show_name(fd);
	SHOW(fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
	SHOW(fcntl(fd, F_GETFD));
	SHOW(events(fd));
	SHOW(get(fd));
	SHOW(value);
	SHOW(events(fd));
	SHOW(get(fd));
	SHOW(put(fd, 0));
	SHOW(events(fd));
	SHOW(put(fd, 5));
	SHOW(put(fd, 6));
	SHOW(read(fd, bytes, 7));
	SHOW(write(fd, bytes, 7));
	SHOW(read(fd, NULL, 8));
	SHOW(get(fd));
	SHOW(put(fd, 7));
	SHOW(read(fd, bytes, 100));
	SHOW(put(fd, UINT64_MAX));
	SHOW(put(fd, UINT64_MAX - 1));
	SHOW(events(fd));
	SHOW(put(fd, 0));
	SHOW(put(fd, 1));
	SHOW(get(fd));
	SHOW(value == UINT64_MAX - 1);
	SHOW(put(fd, UINT64_MAX - 2));
	SHOW(events(fd));
	SHOW(put(fd, 2));
	SHOW(ftruncate(fd, 0));
	SHOW(fsync(fd));
	SHOW(ioctl(fd, FIONREAD, bytes));
	SHOW(write(fd, NULL, 8));
	close(fd);
}

static void semaphores(void)
{
	int fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	SHOW(get(fd));
	SHOW(value);
	SHOW(get(fd));
	SHOW(get(fd));
	SHOW(put(fd, 3));
	SHOW(get(fd));
	SHOW(value);
	close(fd);
	SHOW(eventfd(0, 2));
	SHOW(eventfd(0, ~0));
}

static void *add_soon(void *argument)
{
	usleep(1000);
	put(*(int *)argument, 9);
	return NULL;
}

static void *take_soon(void *argument)
{
	uint64_t taken;
	usleep(1000);
	read(*(int *)argument, &taken, 8);
	return NULL;
}

static void blocking(void)
{
	pthread_t thread;
	int fd = eventfd(0, 0);
	pthread_create(&thread, NULL, add_soon, &fd);
	SHOW(get(fd));
	SHOW(value);
	pthread_join(thread, NULL);
	put(fd, UINT64_MAX - 1);
	pthread_create(&thread, NULL, take_soon, &fd);
	SHOW(put(fd, 4));
	pthread_join(thread, NULL);
	SHOW(get(fd));
	SHOW(value);
	close(fd);
}

int main(void)
{
	counting();
	semaphores();
	blocking();
	return 0;
}
