/* Moving data through pipes: a file closed meanwhile, and pipes that are full. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/sendfile.h>
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

int main(void)
{
	closed_meanwhile();
	into_a_full_pipe();
	return 0;
}
