/* Names of threads; and what has no effect here: personality, priorities, flags of prctl. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "show.h"

#define PROCESS 1
#define GROUP 2
#define NONE (0 << 13)
#define REALTIME (1 << 13)
#define BEST_EFFORT (2 << 13)
#define IDLE (3 << 13)

static long get(int which, int who) { return syscall(SYS_ioprio_get, which, who); }

static long set(int which, int who, int priority)
{
	return syscall(SYS_ioprio_set, which, who, priority);
}

static void *name_thread(void *unused)
{
	char name[16] = "";
	(void)unused;
	SHOW(prctl(PR_GET_NAME, name));
	printf("%s\n", name);
	SHOW(prctl(PR_SET_NAME, "other"));
	SHOW(prctl(PR_GET_NAME, name));
	printf("%s\n", name);
	return NULL;
}

/* Each thread has a name, first its maker's; the process's is that of the first thread. */
static void names(void)
{
	char name[16] = "";
	pthread_t thread;
	SHOW(prctl(PR_SET_NAME, "first"));
	pthread_create(&thread, NULL, name_thread, NULL);
	pthread_join(thread, NULL);
	SHOW(prctl(PR_GET_NAME, name));
	printf("%s\n", name);
	FILE *file = fopen("/proc/self/comm", "r");
	printf("%s", fgets(name, sizeof(name), file));
	fclose(file);
}

int main(void)
{
	names();
	SHOW(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	SHOW(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	SHOW(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	SHOW(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	SHOW(personality(0xffffffff));
	SHOW(personality(ADDR_NO_RANDOMIZE | PER_LINUX));
	SHOW(personality(0xffffffff));
	SHOW(personality(PER_LINUX));

	SHOW(get(PROCESS, 0));
	SHOW(set(PROCESS, 0, BEST_EFFORT | 3));
	SHOW(get(PROCESS, 0));
	SHOW(set(PROCESS, getpid(), IDLE));
	SHOW(get(PROCESS, 0) >> 13);
	SHOW(set(PROCESS, 0, NONE | 1));
	SHOW(set(PROCESS, 0, 5 << 13));
	SHOW(set(0, 0, BEST_EFFORT));
	SHOW(set(4, 0, BEST_EFFORT));
	SHOW(set(PROCESS, 12345678, BEST_EFFORT));
	SHOW(get(PROCESS, 12345678));
	SHOW(get(GROUP, 12345678));
	SHOW(set(PROCESS, 0, NONE));

	SHOW(prctl(PR_GET_DUMPABLE));
	SHOW(prctl(PR_SET_DUMPABLE, 0));
	SHOW(prctl(PR_GET_DUMPABLE));
	SHOW(prctl(PR_SET_DUMPABLE, 2));
	SHOW(prctl(PR_SET_DUMPABLE, 1));
	SHOW(prctl(PR_GET_DUMPABLE));
	SHOW(prctl(PR_CAPBSET_READ, 0));
	SHOW(prctl(PR_CAPBSET_READ, 64));
	SHOW(prctl(PR_GET_SECCOMP));
	return 0;
}
