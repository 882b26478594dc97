/* epoll: level, edge, one-shot, nested; files that end while they are watched. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "show.h"
#include "epoll.h"

static void as_a_file(void)
{
	int epoll;
	SHOW((epoll = epoll_create1(EPOLL_CLOEXEC)));
	SHOW(fcntl(epoll, F_GETFD));
	SHOW(fcntl(epoll, F_GETFL));
	char text[64] = "";
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", epoll);
	readlink(path, text, sizeof(text) - 1);
	puts(text);
	SHOW(open(path, O_RDWR));
	SHOW(epoll_create1(1));
	SHOW(epoll_create(0));
	SHOW(read(epoll, found, 10));
	SHOW(write(epoll, found, 10));
	close(epoll);
}

static void refused(int epoll, const int fds[2])
{
	int plain;
	SHOW(add(epoll, fds[0], EPOLLIN));
	SHOW(add(epoll, fds[0], EPOLLIN));
	SHOW(change(epoll, fds[1], EPOLLIN));
	SHOW(drop(epoll, fds[1]));
	SHOW(add(epoll, epoll, EPOLLIN));
	SHOW(add(epoll, 99, EPOLLIN));
	SHOW(add(99, fds[0], EPOLLIN));
	SHOW(add(fds[0], fds[1], EPOLLIN));
	SHOW(control(epoll, 7, fds[0], EPOLLIN));
	SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[1], NULL));
	SHOW((plain = open("file", O_RDWR | O_CREAT, 0600)));
	SHOW(add(epoll, plain, EPOLLIN));
	SHOW(add(epoll, open("/", O_RDONLY), EPOLLIN));
	SHOW(add(epoll, open("/dev/null", O_RDWR), EPOLLIN));
	SHOW(add(epoll, open("/dev/zero", O_RDWR), EPOLLIN));
	SHOW(epoll_wait(epoll, found, 0, 0));
	SHOW(epoll_wait(epoll, found, -1, 0));
	SHOW(epoll_wait(epoll, found, 1 << 28, 0));
	SHOW(epoll_wait(plain, found, 1, 0));
	SHOW(epoll_wait(99, found, 1, 0));
	SHOW(epoll_wait(epoll, (void *)-1, 1, 0));
	close(plain);
}

static void watching(int epoll, const int fds[2])
{
	SHOW(events(epoll));
	show_now(epoll, 10);
	write(fds[1], "abc", 3);
	SHOW(events(epoll));
	SHOW(epoll_wait(epoll, NULL, 1, 0));
	show_now(epoll, 10);
	show_now(epoll, 10);
	SHOW(add(epoll, fds[1], EPOLLOUT | EPOLLIN));
	show_now(epoll, 10);
	show_now(epoll, 1);
	show_now(epoll, 1);
	show_now(epoll, 1);
	SHOW(change(epoll, fds[0], EPOLLOUT));
	show_now(epoll, 10);
	SHOW(change(epoll, fds[0], EPOLLIN | EPOLLRDNORM | EPOLLPRI));
	show_now(epoll, 10);
	SHOW(drop(epoll, fds[0]));
	SHOW(drop(epoll, fds[0]));
	show_now(epoll, 10);
	close(fds[0]);
	show_now(epoll, 10);
	SHOW(change(epoll, fds[1], 0));
	show_now(epoll, 10);
	close(fds[1]);
	show_now(epoll, 10);
	SHOW(events(epoll));
}

static void basics(void)
{
	int epoll, fds[2];
	puts("-- basics");
	as_a_file();
	epoll = epoll_create1(0);
	pipe(fds);
	refused(epoll, fds);
	watching(epoll, fds);
	close(epoll);
}

static void edges(void)
{
	int epoll = epoll_create1(0), fds[2];
	char bytes[10];
	puts("-- edge-triggered");
	pipe2(fds, O_NONBLOCK);
	SHOW(add(epoll, fds[0], EPOLLIN | EPOLLET));
	SHOW(add(epoll, fds[1], EPOLLOUT | EPOLLET));
	show_now(epoll, 10);
	show_now(epoll, 10);
	write(fds[1], "abc", 3);
	show_now(epoll, 10);
	show_now(epoll, 10);
	write(fds[1], "def", 3);
	show_now(epoll, 10);
	read(fds[0], bytes, 2);
	show_now(epoll, 10);
	SHOW(change(epoll, fds[0], EPOLLIN | EPOLLET));
	show_now(epoll, 10);
	show_now(epoll, 10);
	read(fds[0], bytes, 10);
	write(fds[1], "x", 1);
	read(fds[0], bytes, 10);
	show_now(epoll, 10);
	static char much[70000];
	SHOW(write(fds[1], much, sizeof(much)));
	show_now(epoll, 10);
	read(fds[0], much, 5000);
	show_now(epoll, 10);
	read(fds[0], much, 5000);
	show_now(epoll, 10);
	close(fds[1]);
	show_now(epoll, 10);
	show_now(epoll, 10);
	close(fds[0]);
	int event = eventfd(0, EFD_NONBLOCK);
	SHOW(add(epoll, event, EPOLLIN | EPOLLOUT | EPOLLET));
	show_now(epoll, 10);
	put(event);
	show_now(epoll, 10);
	put(event);
	show_now(epoll, 10);
	take(event);
	show_now(epoll, 10);
	close(event);
	close(epoll);
}

static void one_shots(void)
{
	int epoll = epoll_create1(0), event = eventfd(1, EFD_NONBLOCK);
	puts("-- one-shot");
	SHOW(add(epoll, event, EPOLLIN | EPOLLONESHOT));
	show_now(epoll, 10);
	show_now(epoll, 10);
	put(event);
	show_now(epoll, 10);
	SHOW(events(epoll));
	SHOW(change(epoll, event, EPOLLIN | EPOLLONESHOT));
	SHOW(events(epoll));
	show_now(epoll, 10);
	show_now(epoll, 10);
	SHOW(change(epoll, event, EPOLLIN | EPOLLONESHOT | EPOLLET));
	show_now(epoll, 10);
	SHOW(change(epoll, event, EPOLLIN));
	show_now(epoll, 10);
	show_now(epoll, 10);
	close(event);
	close(epoll);
}

static void order(void)
{
	int epoll = epoll_create1(0), fd[5];
	puts("-- order");
	for (int i = 0; i < 5; i++) {
		fd[i] = eventfd(0, EFD_NONBLOCK);
		add(epoll, fd[i], EPOLLIN);
	}
	put(fd[3]);
	put(fd[1]);
	put(fd[4]);
	show_now(epoll, 10);
	show_now(epoll, 2);
	show_now(epoll, 2);
	put(fd[0]);
	show_now(epoll, 2);
	show_now(epoll, 10);
	take(fd[1]);
	show_now(epoll, 10);
	put(fd[1]);
	show_now(epoll, 10);
	take(fd[3]);
	put(fd[3]);
	show_now(epoll, 10);
	change(epoll, fd[4], EPOLLIN | EPOLLET);
	show_now(epoll, 1);
	show_now(epoll, 10);
	show_now(epoll, 10);
	for (int i = 0; i < 5; i++)
		close(fd[i]);
	show_now(epoll, 10);
	close(epoll);
}

static void ends(void)
{
	int epoll = epoll_create1(0), event = eventfd(1, EFD_NONBLOCK);
	puts("-- ends of watched files");
	add(epoll, event, EPOLLIN);
	int copy = dup(event);
	SHOW(add(epoll, copy, EPOLLIN));
	show_now(epoll, 10);
	close(event);
	show_now(epoll, 10);
	SHOW(drop(epoll, event));
	SHOW((dup2(copy, event) == event));
	SHOW(drop(epoll, event));
	show_now(epoll, 10);
	close(copy);
	show_now(epoll, 10);
	close(event);
	show_now(epoll, 10);
	SHOW(eventfd(1, 0) == event);
	show_now(epoll, 10);
	SHOW(add(epoll, event, EPOLLIN));
	show_now(epoll, 10);
	close(epoll);
	epoll = epoll_create1(0);
	SHOW(add(epoll, event, EPOLLIN));
	int twin = dup(epoll);
	close(epoll);
	show_now(twin, 10);
	close(twin);
	take(event);
	put(event);
	close(event);
}

static void nested(void)
{
	int inner = epoll_create1(0), outer = epoll_create1(0), event = eventfd(0, EFD_NONBLOCK);
	int chain[8];
	puts("-- nested");
	SHOW(add(inner, event, EPOLLIN));
	SHOW(add(outer, inner, EPOLLIN));
	SHOW(add(inner, outer, EPOLLIN));
	show_now(outer, 10);
	put(event);
	show_now(outer, 10);
	SHOW(events(outer));
	show_now(inner, 10);
	take(event);
	show_now(outer, 10);
	SHOW(events(outer));
	SHOW(change(outer, inner, EPOLLIN | EPOLLET));
	put(event);
	show_now(outer, 10);
	show_now(outer, 10);
	show_now(inner, 10);
	show_now(outer, 10);
	put(event);
	show_now(outer, 10);
	SHOW(add(outer, event, EPOLLIN | EPOLLEXCLUSIVE));
	SHOW(change(outer, event, EPOLLIN));
	SHOW(drop(outer, event));
	SHOW(add(outer, event, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT));
	SHOW(add(outer, event, EPOLLIN | EPOLLEXCLUSIVE | EPOLLPRI));
	int third = epoll_create1(0);
	SHOW(add(third, inner, EPOLLIN | EPOLLEXCLUSIVE));
	SHOW(add(third, outer, EPOLLIN));
	SHOW(add(inner, third, EPOLLIN));
	close(inner);
	show_now(outer, 10);
	close(outer);
	close(third);
	close(event);
	for (int i = 0; i < 8; i++)
		chain[i] = epoll_create1(0);
	for (int i = 0; i < 3; i++)
		SHOW(add(chain[i + 1], chain[i], EPOLLIN));
	SHOW(add(chain[0], chain[3], EPOLLIN));
	for (int i = 3; i < 7; i++)
		add(chain[i + 1], chain[i], EPOLLIN);
	SHOW(add(chain[7], chain[6], EPOLLIN));
	for (int i = 0; i < 8; i++)
		close(chain[i]);
}

static void many(void)
{
	int epoll = epoll_create1(0), fd[200];
	puts("-- many");
	for (int i = 0; i < 200; i++) {
		fd[i] = eventfd(0, EFD_NONBLOCK);
		add(epoll, fd[i], EPOLLIN);
	}
	for (int i = 0; i < 200; i += 7)
		put(fd[(i * 37) % 200]);
	show_now(epoll, 64);
	for (int i = 0; i < 200; i += 2)
		drop(epoll, fd[i]);
	show_now(epoll, 64);
	for (int i = 199; i >= 0; i--)
		close(fd[i]);
	show_now(epoll, 64);
	close(epoll);
}

int main(void)
{
	basics();
	edges();
	one_shots();
	order();
	ends();
	nested();
	many();
	return 0;
}
