/* Splices that wait for room, while others read what they have not taken yet, and interrupt. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "show.h"

#define PAGE 4096
#define PIPE (16 * PAGE)

static char buffer[PIPE];
static int first[2];

static void wait_a_moment(void)
{
	struct timespec moment = {0, 20000000};
	nanosleep(&moment, NULL);
}

/* ---- For room in another pipe ---- */

static int second[2];

static void *splice_on(void *result)
{
	*(long *)result = splice(first[0], NULL, second[1], NULL, PAGE, 0);
	return NULL;
}

static void read_meanwhile(void)
{
	pthread_t splicer;
	long spliced;
	puts("-- read meanwhile");
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

/* ---- For room in a socket, until it is interrupted ---- */

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
	/* Once is not enough where the splice begins later. */
	do {
		wait_a_moment();
		pthread_kill(splicer, SIGUSR1);
	} while (pthread_tryjoin_np(splicer, NULL) != 0);
	pthread_join(reader, NULL);
	printf("spliced %ld, read %ld\n", spliced, read);
}

int main(void)
{
	alarm(60); /* rather than wait for ever, on a kernel that does otherwise */
	pipe(first);
	read_meanwhile();
	interrupted();
	return 0;
}
