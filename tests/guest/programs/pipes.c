/* Pipes: what they hold, how they end, packets, capacity, readiness, names. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "show.h"

static char buffer[1 << 20];

static int available(int fd)
{
	int count = -1;
	ioctl(fd, FIONREAD, &count);
	return count;
}

static void streams(void)
{
	int fds[2];
	struct stat stat;
	puts("-- streams");
	SHOW(pipe(fds));
	SHOW(fcntl(fds[0], F_GETFL));
	SHOW(fcntl(fds[1], F_GETFL));
	SHOW(fcntl(fds[0], F_GETFD));
	SHOW(fstat(fds[0], &stat));
	printf("mode %o, size %ld, links %ld, blksize %ld\n", stat.st_mode, (long)stat.st_size,
	       (long)stat.st_nlink, (long)stat.st_blksize);
	SHOW(events(fds[0]));
	SHOW(events(fds[1]));
	SHOW(read(fds[1], buffer, 1));
	SHOW(write(fds[0], buffer, 1));
	SHOW(lseek(fds[0], 0, SEEK_CUR));
	SHOW(pread(fds[0], buffer, 1, 0));
	SHOW(pwrite(fds[1], buffer, 1, 0));
	SHOW(ftruncate(fds[1], 0));
	SHOW(fsync(fds[1]));
	SHOW(write(fds[1], "hello", 5));
	SHOW(write(fds[1], " world", 6));
	SHOW(write(fds[1], "", 0));
	SHOW(available(fds[0]));
	SHOW(available(fds[1]));
	SHOW(events(fds[0]));
	SHOW(read(fds[0], buffer, 0));
	SHOW(read(fds[0], buffer, 4));
	SHOW(read(fds[0], buffer + 4, 100));
	printf("%.11s\n", buffer);
	SHOW(write(fds[1], NULL, 5));
	SHOW(write(fds[1], "abc", 3));
	SHOW(read(fds[0], NULL, 3));
	SHOW(available(fds[0]));
	struct iovec out[3] = {{"12", 2}, {"", 0}, {"345", 3}};
	SHOW(writev(fds[1], out, 3));
	struct iovec in[2] = {{buffer, 4}, {buffer + 10, 100}};
	SHOW(readv(fds[0], in, 2));
	printf("%.4s %.4s\n", buffer, buffer + 10);
	SHOW(close(fds[1]));
	SHOW(events(fds[0]));
	SHOW(read(fds[0], buffer, 1));
	SHOW(close(fds[0]));
}

static void full(void)
{
	int fds[2];
	puts("-- full and empty");
	SHOW(pipe2(fds, O_NONBLOCK | O_CLOEXEC));
	SHOW(fcntl(fds[0], F_GETFD));
	SHOW(fcntl(fds[1], F_GETFL) == (O_WRONLY | O_NONBLOCK));
	SHOW(read(fds[0], buffer, 1));
	SHOW(fcntl(fds[0], F_GETPIPE_SZ));
	SHOW(write(fds[1], buffer, sizeof(buffer)));
	SHOW(write(fds[1], buffer, 1));
	SHOW(events(fds[1]));
	SHOW(read(fds[0], buffer, 1));
	SHOW(events(fds[1]));
	SHOW(write(fds[1], buffer, 1));
	SHOW(read(fds[0], buffer, PIPE_BUF - 1));
	SHOW(events(fds[1]));
	SHOW(write(fds[1], buffer, PIPE_BUF + 1));
	SHOW(write(fds[1], buffer, PIPE_BUF));
	SHOW(available(fds[0]));
	SHOW(read(fds[0], buffer, sizeof(buffer)));
	for (int i = 0; i < 5; i++)
		SHOW(write(fds[1], buffer, 1500));
	SHOW(available(fds[0]));
	SHOW(fcntl(fds[1], F_SETPIPE_SZ, 4096));
	SHOW(fcntl(fds[1], F_SETPIPE_SZ, 8192));
	SHOW(fcntl(fds[1], F_SETPIPE_SZ, 12000));
	SHOW(fcntl(fds[0], F_GETPIPE_SZ));
	SHOW(write(fds[1], buffer, 12000));
	SHOW(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20));
	SHOW(write(fds[1], buffer, 12000));
	SHOW(fcntl(fds[1], F_SETPIPE_SZ, 0));
	SHOW(fcntl(fds[0], F_SETPIPE_SZ, -1));
	SHOW(fcntl(open("/", O_RDONLY), F_GETPIPE_SZ));
	SHOW(close(fds[0]));
	SHOW(close(fds[1]));
	SHOW(pipe2(fds, O_APPEND));
	SHOW(pipe2(NULL, 0));
}

static void packets(void)
{
	int fds[2];
	puts("-- packets");
	SHOW(pipe2(fds, O_DIRECT | O_NONBLOCK));
	SHOW(write(fds[1], "one", 3));
	SHOW(write(fds[1], "second", 6));
	SHOW(write(fds[1], "", 0));
	SHOW(write(fds[1], "third", 5));
	SHOW(available(fds[0]));
	SHOW(read(fds[0], buffer, 100));
	SHOW(read(fds[0], buffer, 2));
	printf("%.2s\n", buffer);
	SHOW(read(fds[0], buffer, 100));
	SHOW(read(fds[0], buffer, 100));
	SHOW(write(fds[1], buffer, 10000));
	SHOW(read(fds[0], buffer, 10000));
	SHOW(read(fds[0], buffer, 10000));
	SHOW(read(fds[0], buffer, 10000));
	int count = 0;
	while (write(fds[1], "x", 1) == 1)
		count++;
	printf("%d packets\n", count);
	SHOW(fcntl(fds[1], F_SETFL, O_NONBLOCK));
	SHOW(read(fds[0], buffer, 10));
	SHOW(write(fds[1], "ab", 2));
	SHOW(write(fds[1], "cd", 2));
	SHOW(available(fds[0]));
	while (count-- > 1)
		read(fds[0], buffer, 1);
	SHOW(read(fds[0], buffer, 100));
	close(fds[0]);
	close(fds[1]);
}

static volatile int signals;
static void count_signal(int signal) { signals += signal; }

static void ends(void)
{
	int fds[2], copy;
	puts("-- ends");
	signal(SIGPIPE, count_signal);
	pipe(fds);
	copy = dup(fds[0]);
	close(fds[0]);
	SHOW(write(fds[1], "abc", 3));
	close(copy);
	SHOW(write(fds[1], "abc", 3));
	SHOW(write(fds[1], "", 0));
	SHOW(signals);
	SHOW(events(fds[1]));
	close(fds[1]);
	signal(SIGPIPE, SIG_IGN);
	pipe(fds);
	close(fds[0]);
	SHOW(write(fds[1], "abc", 3));
	SHOW(signals);
	close(fds[1]);
	pipe(fds);
	write(fds[1], "rest", 4);
	close(fds[1]);
	SHOW(events(fds[0]));
	SHOW(read(fds[0], buffer, 100));
	SHOW(events(fds[0]));
	SHOW(read(fds[0], buffer, 100));
	close(fds[0]);
	SHOW(close(fds[0]));
}

static void *write_much(void *argument)
{
	int fd = *(int *)argument;
	usleep(1000);
	for (int i = 0; i < 4; i++)
		write(fd, buffer, 100000);
	close(fd);
	return NULL;
}

static void *close_soon(void *argument)
{
	usleep(1000);
	close(*(int *)argument);
	return NULL;
}

static void threads(void)
{
	static char into[300000];
	int fds[2];
	pthread_t thread;
	long total = 0, count;
	puts("-- threads");
	pipe(fds);
	pthread_create(&thread, NULL, write_much, &fds[1]);
	while ((count = read(fds[0], into, sizeof(into))) > 0)
		total += count;
	printf("%ld bytes, then %ld\n", total, count);
	pthread_join(thread, NULL);
	close(fds[0]);
	pipe(fds);
	pthread_create(&thread, NULL, close_soon, &fds[1]);
	SHOW(read(fds[0], into, 1));
	pthread_join(thread, NULL);
	close(fds[0]);
	pipe(fds);
	pthread_create(&thread, NULL, close_soon, &fds[0]);
	SHOW(write(fds[1], buffer, 100000));
	pthread_join(thread, NULL);
	close(fds[1]);
	pipe(fds);
	pthread_create(&thread, NULL, close_soon, &fds[1]);
	struct pollfd entry = {fds[0], POLLIN, 0};
	SHOW(poll(&entry, 1, 10000));
	SHOW(entry.revents);
	pthread_join(thread, NULL);
	close(fds[0]);
}

static void *open_to_write(void *argument)
{
	int fd = open("fifo", O_WRONLY);
	write(fd, "through the fifo", 16);
	close(fd);
	return argument;
}

static void fifos(void)
{
	pthread_t thread;
	int reader, writer;
	puts("-- fifos");
	SHOW(mkfifo("fifo", 0600));
	SHOW(mkfifo("fifo", 0600));
	SHOW(open("fifo", O_WRONLY | O_NONBLOCK));
	SHOW((reader = open("fifo", O_RDONLY | O_NONBLOCK)) >= 0);
	SHOW(events(reader));
	SHOW(read(reader, buffer, 1));
	SHOW((writer = open("fifo", O_WRONLY | O_NONBLOCK)) >= 0);
	SHOW(events(reader));
	SHOW(read(reader, buffer, 1));
	SHOW(write(writer, "abc", 3));
	close(writer);
	SHOW(events(reader));
	SHOW(read(reader, buffer, 10));
	SHOW(events(reader));
	close(reader);
	pthread_create(&thread, NULL, open_to_write, NULL);
	reader = open("fifo", O_RDONLY);
	SHOW(read(reader, buffer, 100));
	SHOW(read(reader, buffer, 100));
	close(reader);
	pthread_join(thread, NULL);
	SHOW((reader = open("fifo", O_RDWR)) >= 0);
	SHOW(write(reader, "both", 4));
	SHOW(read(reader, buffer, 4));
	close(reader);
	struct stat stat;
	SHOW(lstat("fifo", &stat));
	printf("mode %o\n", stat.st_mode);
	SHOW(unlink("fifo"));
}

static void names(void)
{
	char path[64], text[64] = "";
	int fds[2];
	puts("-- names");
	pipe(fds);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	readlink(path, text, sizeof(text) - 1);
	printf("%.6s\n", text);
	write(fds[1], "again", 5);
	int again = open(path, O_RDONLY);
	SHOW(read(again, buffer, 100));
	close(again);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	streams();
	full();
	packets();
	ends();
	threads();
	fifos();
	names();
	return 0;
}
