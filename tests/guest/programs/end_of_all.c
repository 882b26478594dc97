/* exit_group(2) ends threads that compute, that wait, and that hold locks. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile int computing;

static void *compute(void *argument)
{
	computing++;
	for (;;)
		;
	return argument;
}

static void *wait_for_lock(void *argument)
{
	pthread_mutex_lock(&mutex);
	return argument;
}

static void *sleep_long(void *argument)
{
	sleep(1000);
	return argument;
}

static void *leave(void *argument)
{
	while (computing < 2)
		;
	printf("leaving\n");
	exit(17);
	return argument;
}

int main(void)
{
	pthread_t thread;
	pthread_mutex_lock(&mutex);
	pthread_create(&thread, NULL, compute, NULL);
	pthread_create(&thread, NULL, wait_for_lock, NULL);
	pthread_create(&thread, NULL, sleep_long, NULL);
	pthread_create(&thread, NULL, leave, NULL);
	compute(NULL);
	return 0;
}
