/* Moving data through pipes while others close, read and interrupt. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "show.h"

#define PAGE 4096
#define PIPE (16 * PAGE)

static char buffer[4 * PIPE];

static int make(const char *path, long size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	ftruncate(fd, size);
	return fd;
}

static void wait_a_moment(void)
{
	struct timespec moment = {0, 20000000};
	nanosleep(&moment, NULL);
}

/* ---- A file that is closed meanwhile ---- */

static int input, ends[2];

static void *send_page(void *result)
{
	*(long *)result = sendfile(ends[1], input, NULL, PAGE);
	close(ends[1]);
	return NULL;
}

static void closed_meanwhile(void)
{
	pthread_t sender;
	long count, total = 0, sent;
	puts("-- closed meanwhile");
	int other = make("other", 10);
	close(other);
	input = make("input", 3 * PIPE);
	pipe(ends);
	/* No more than there is room for. */
	SHOW(sendfile(ends[1], input, NULL, 3 * PIPE));
	SHOW(lseek(input, 0, SEEK_CUR));
	pthread_create(&sender, NULL, send_page, &sent);
	wait_a_moment();
	close(input);
	/* It is likely to lie where the closed one lay. */
	other = open("other", O_RDONLY);
	while ((count = read(ends[0], buffer, sizeof(buffer))) > 0)
		total += count;
	pthread_join(sender, NULL);
	printf("sent %ld of %ld, then at %ld\n", sent, total, (long)lseek(other, 0, SEEK_CUR));
	close(other);
	close(ends[0]);
}

/* ---- From one pipe into another ---- */

static void into_a_full_pipe(void)
{
	int from[2], to[2];
	puts("-- into a full pipe");
	pipe(from);
	pipe(to);
	input = make("input", 3 * PIPE);
	SHOW(splice(input, NULL, to[1], NULL, 3 * PIPE, 0));
	SHOW(read(to[0], buffer, 2 * PIPE));
	close(input);
	SHOW(write(from[1], buffer, 3 * PAGE));
	SHOW(write(to[1], buffer, 15 * PAGE));
	/* No more than there is room for; only where that is nothing, it would wait. */
	SHOW(splice(from[0], NULL, to[1], NULL, 3 * PAGE, 0));
	SHOW(splice(from[0], NULL, to[1], NULL, PAGE, SPLICE_F_NONBLOCK));
	SHOW(read(to[0], buffer, 2 * PAGE));
	SHOW(splice(from[0], NULL, to[1], NULL, 3 * PAGE, 0));
	close(from[1]);
	SHOW(splice(from[0], NULL, to[1], NULL, PAGE, SPLICE_F_NONBLOCK));
	close(from[0]);
	close(to[0]);
	close(to[1]);
}

static int first[2], second[2];

static void *splice_on(void *result)
{
	*(long *)result = splice(first[0], NULL, second[1], NULL, PAGE, 0);
	return NULL;
}

/* What waits for room in another pipe can be read by others. */
static void read_meanwhile(void)
{
	pthread_t splicer;
	long spliced;
	puts("-- read meanwhile");
	pipe(first);
	pipe(second);
	SHOW(write(second[1], buffer, PIPE));
	SHOW(write(first[1], "taken", 5));
	pthread_create(&splicer, NULL, splice_on, &spliced);
	wait_a_moment();
	SHOW(read(first[0], buffer, 100));
	SHOW(write(first[1], "spliced", 7));
	SHOW(read(second[0], buffer, PIPE));
	pthread_join(splicer, NULL);
	printf("spliced %ld\n", spliced);
	SHOW(read(second[0], buffer, 100));
}

/* ---- A splice that is interrupted ---- */

static int pair[2];

static void ignore(int signal) {}

static void *splice_to_socket(void *result)
{
	*(long *)result = splice(first[0], NULL, pair[0], NULL, PAGE, 0);
	return NULL;
}

static void *read_first(void *result)
{
	*(long *)result = read(first[0], buffer, 100);
	return NULL;
}

static void interrupted(void)
{
	struct sigaction action = {.sa_handler = ignore};
	pthread_t splicer, reader;
	long spliced, read;
	puts("-- interrupted");
	sigaction(SIGUSR1, &action, NULL);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	while (write(pair[0], buffer, PAGE) > 0)
		;
	fcntl(pair[0], F_SETFL, 0);
	SHOW(write(first[1], "kept", 4));
	pthread_create(&splicer, NULL, splice_to_socket, &spliced);
	wait_a_moment();
	pthread_create(&reader, NULL, read_first, &read);
	wait_a_moment();
	pthread_kill(splicer, SIGUSR1);
	pthread_join(splicer, NULL);
	pthread_join(reader, NULL);
	printf("spliced %ld, read %ld\n", spliced, read);
}

int main(void)
{
	alarm(60); /* rather than wait for ever, on a kernel that does otherwise */
	closed_meanwhile();
	into_a_full_pipe();
	read_meanwhile();
	interrupted();
	return 0;
}
