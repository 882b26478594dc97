/* How often a thread polls before another one, which is ready, has run. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

static volatile int ran;

static void *run(void *argument)
{
	ran = 1;
	return argument;
}

static int polls_once(int (*poll_once)(void))
{
	pthread_t thread;
	int count = 0;
	ran = 0;
	pthread_create(&thread, NULL, run, NULL);
	while (!ran && count < 20) {
		poll_once();
		count++;
	}
	pthread_join(thread, NULL);
	return count;
}

/* The most of several times: now and then the thread's time is up just then. */
static int polls(int (*poll_once)(void))
{
	int most = 0;
	for (int i = 0; i < 5; i++) {
		int count = polls_once(poll_once);
		most = count > most ? count : most;
	}
	return most;
}

static int epoll;

static int poll_poll(void) { return poll(NULL, 0, 0); }
static int poll_select(void) { return select(0, NULL, NULL, NULL, &(struct timeval){0, 0}); }
static int poll_epoll(void) { return epoll_wait(epoll, &(struct epoll_event){0}, 1, 0); }

int main(void)
{
	epoll = epoll_create1(0);
	printf("%d %d %d\n", polls(poll_poll), polls(poll_select), polls(poll_epoll));
	return 0;
}
