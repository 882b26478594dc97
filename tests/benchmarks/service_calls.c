/*
 * One operation of the kernel, many times: service_calls NAME COUNT prints nanoseconds each,
 * service_calls NAME COUNT marked does it between marks (marks.h).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "marks.h"

static char buffer[1 << 20];
static int pair[2];
static int epoll;
static size_t size;

static void check(int good)
{
	if (!good) {
		perror("service_calls");
		exit(1);
	}
}

static void prepare_nothing(long number) { size = (size_t)number; }
static void prepare_pipe(long number)
{
	size = (size_t)number;
	check(pipe(pair) == 0);
}
static void prepare_sockets(long number)
{
	size = (size_t)number;
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
}
static void prepare_eventfd(long number)
{
	pair[0] = eventfd((unsigned)number, 0);
	check(pair[0] >= 0);
}
/* So many files are watched, and one of them is ready. */
static void prepare_epoll(long number)
{
	epoll = epoll_create1(0);
	for (long i = 0; i < number; i++) {
		struct epoll_event event = {.events = EPOLLIN};
		int file = eventfd(i == number / 2, 0);
		check(file >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event) == 0);
	}
}

static void null_call(void) { getppid(); }
static void transfer(void)
{
	check(write(pair[1], buffer, size) == (ssize_t)size);
	check(read(pair[0], buffer, size) == (ssize_t)size);
}
static void round_trip(void)
{
	transfer();
	check(write(pair[0], buffer, size) == (ssize_t)size);
	check(read(pair[1], buffer, size) == (ssize_t)size);
}
static void count_an_event(void)
{
	uint64_t value = 1;
	check(write(pair[0], &value, sizeof(value)) == sizeof(value));
	check(read(pair[0], &value, sizeof(value)) == sizeof(value) && value == 1);
}
static void wait_for_events(void)
{
	struct epoll_event events[8];
	check(epoll_wait(epoll, events, 8, 0) == 1);
}
static void random_bytes(void) { check(getrandom(buffer, size, 0) == (ssize_t)size); }
static void open_and_close(void)
{
	int file = open("/dev/null", O_RDONLY);
	check(file >= 0 && close(file) == 0);
}

static const struct operation {
	const char *name;
	void (*prepare)(long number);
	long number;
	void (*act)(void);
} operations[] = {
	{"null", prepare_nothing, 0, null_call},
	{"pipe-1", prepare_pipe, 1, transfer},
	{"pipe-64", prepare_pipe, 64, transfer},
	{"pipe-4096", prepare_pipe, 4096, transfer},
	{"socketpair", prepare_sockets, 1, round_trip},
	{"eventfd", prepare_eventfd, 0, count_an_event},
	{"epoll-1", prepare_epoll, 1, wait_for_events},
	{"epoll-100", prepare_epoll, 100, wait_for_events},
	{"epoll-1000", prepare_epoll, 1000, wait_for_events},
	{"random-32", prepare_nothing, 32, random_bytes},
	{"random-1M", prepare_nothing, 1 << 20, random_bytes},
	{"open-close", prepare_nothing, 0, open_and_close},
};

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static const struct operation *operation;

static void repeat(long times)
{
	while (times-- > 0)
		operation->act();
}

int main(int argc, char **argv)
{
	long count = argc >= 3 ? atol(argv[2]) : 0;
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		operation = &operations[i];
		if (count < 1 || strcmp(argv[1], operation->name) != 0)
			continue;
		operation->prepare(operation->number);
		operation->act();
		if (argc == 4 && strcmp(argv[3], "marked") == 0) {
			count_marked(operation->name, count, repeat);
			return 0;
		}
		double start = now();
		repeat(count);
		printf("%.1f\n", (now() - start) / (double)count);
		return 0;
	}
	fprintf(stderr, "usage: service_calls NAME COUNT [marked]\n");
	return 2;
}
