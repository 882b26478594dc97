/* System calls of threads that share the processor by time: each of them happens. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 4
#define CALLS 40000

static void *call(void *argument)
{
	long id = syscall(SYS_gettid), wrong = 0;
	for (int i = 0; i < CALLS; i++)
		wrong += syscall(SYS_gettid) != id;
	*(long *)argument = wrong;
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];
	long wrong[THREADS];
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, call, &wrong[i]);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		printf("thread %d: %ld wrong\n", i, wrong[i]);
	}
	return 0;
}
