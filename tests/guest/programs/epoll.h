/* Sets of files to wait for; each file is known in them by 1000 and its descriptor's number. */
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

static struct epoll_event found[64];

static inline int control(int epoll, int operation, int fd, uint32_t wanted)
{
	struct epoll_event event = {.events = wanted, .data.u64 = 1000 + fd};
	return epoll_ctl(epoll, operation, fd, &event);
}

static inline int add(int epoll, int fd, uint32_t wanted)
{
	return control(epoll, EPOLL_CTL_ADD, fd, wanted);
}

static inline int change(int epoll, int fd, uint32_t wanted)
{
	return control(epoll, EPOLL_CTL_MOD, fd, wanted);
}

static inline int drop(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

/* What is there now, in order. */
static inline void show_now(int epoll, int most)
{
	int count = epoll_wait(epoll, found, most, 0);
	printf("  %d:", count);
	for (int i = 0; i < count; i++)
		printf(" %d/%#x", (int)found[i].data.u64 - 1000, found[i].events);
	printf("\n");
}

/* Of eventfds. */
static inline void put(int fd) { write(fd, &(uint64_t){1}, 8); }
static inline void take(int fd) { read(fd, &(uint64_t){0}, 8); }
