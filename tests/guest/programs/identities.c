/* Who one is: users, groups, and how they change; of processes, threads, signals and limits. */
#define _GNU_SOURCE
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "show.h"
#include "users.h"

static void show_groups(void)
{
	gid_t groups[8];
	int count = getgroups(8, groups);
	printf("%d groups:", count);
	for (int i = 0; i < count; i++)
		printf(" %u", groups[i]);
	printf("\n");
}

static void show_status(void)
{
	char line[256];
	FILE *status = fopen("/proc/self/status", "r");
	while (fgets(line, sizeof(line), status) != NULL) {
		if (strncmp(line, "Uid", 3) == 0 || strncmp(line, "Gid", 3) == 0 ||
		    strncmp(line, "Groups", 6) == 0)
			printf("%s", line);
	}
	fclose(status);
}

static void supplementary_groups(void)
{
	gid_t unsorted[3] = {30, 10, 20}, wrong[1] = {-1};
	SHOW(syscall(SYS_setgroups, -1, unsorted));
	SHOW(syscall(SYS_setgroups, 65537, unsorted));
	SHOW(setgroups(1, wrong));
	SHOW(syscall(SYS_setgroups, 3, 8));
	SHOW(setgroups(3, unsorted));
	show_groups();
	SHOW(getgroups(0, NULL));
	SHOW(getgroups(2, unsorted));
	SHOW(syscall(SYS_getgroups, 3, 8));
}

static void users(void)
{
	show_ids("at first");
	SHOW(setuid(-1));
	SHOW(setresgid(7, 8, 9));
	SHOW(setresuid(4, 5, 0));
	show_ids("setresuid(4, 5, 0)");
	show_status();
	SHOW(setgroups(0, NULL));
	SHOW(setresuid(6, -1, -1));
	SHOW(setresuid(5, 4, -1));
	show_ids("exchanged");
	SHOW(setuid(6));
	SHOW(setuid(0));
	show_ids("setuid(0)");
	SHOW(setreuid(1, -1));
	show_ids("setreuid(1, -1)");
	SHOW(setreuid(-1, 1));
	SHOW(setreuid(2, -1));
	SHOW(setresuid(0, 0, 0));
	SHOW(setresuid(-1, 3, -1));
	SHOW(setreuid(0, 3));
	show_ids("setreuid(0, 3)");
	SHOW(setreuid(3, 0));
	show_ids("setreuid(3, 0)");
	SHOW(setreuid(0, 5));
	show_ids("setreuid(0, 5)");
}

static void users_of_files(void)
{
	SHOW(setresuid(0, 0, 0));
	SHOW(setfsuid(11));
	SHOW(setfsuid(12));
	show_ids("setfsuid(12)");
	SHOW(setresuid(0, 13, 0));
	show_ids("the file user follows");
	SHOW(setfsuid(14));
	SHOW(setfsuid(0));
	SHOW(setfsuid(-1));
	SHOW(setresuid(0, 0, 0));
}

static void groups(void)
{
	SHOW(setregid(20, 21));
	show_ids("setregid(20, 21)");
	SHOW(setfsgid(23));
	SHOW(setresgid(0, 0, 0));
	show_ids("back");
	SHOW(setgroups(0, NULL));
	show_groups();
}

static void *show_in_thread(void *unused)
{
	show_ids("a new thread");
	syscall(SYS_setresuid, 0, 0, 0);
	show_ids("has changed");
	return unused;
}

static volatile int signalled;
static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	signalled = (int)info->si_uid + 1;
}

static void processes(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct rlimit limit;
	pthread_t thread;
	sigaction(SIGUSR1, &action, NULL);
	setresuid(OWNER, OTHER, 0);
	SHOW(kill(getpid(), SIGUSR1));
	printf("signalled by %d\n", signalled - 1);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = limit.rlim_max = 1 << 30;
	SHOW(setrlimit(RLIMIT_FSIZE, &limit));
	limit.rlim_max++;
	SHOW(setrlimit(RLIMIT_FSIZE, &limit));
	become(OWNER, GROUP);
	pthread_create(&thread, NULL, show_in_thread, NULL);
	pthread_join(thread, NULL);
	show_ids("the first thread");
	become(0, 0);
}

/* Without a way back. */
static void for_good(void)
{
	gid_t groups[1] = {5};
	SHOW(setgroups(1, groups));
	SHOW(setgid(GROUP));
	SHOW(setuid(OWNER));
	show_ids("for good");
	show_groups();
	SHOW(setuid(0));
	SHOW(setreuid(-1, 0));
	SHOW(setresuid(-1, -1, 0));
	SHOW(setfsuid(0));
	SHOW(setgid(0));
	SHOW(setgid(5));
	SHOW(setgroups(1, groups));
	SHOW(chroot("."));
	SHOW(try_open("of-root", O_RDWR));
	show_ids("still");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	enter_area();
	make("of-root", 0600, 0, 0);
	printf("secure: %lu\n", getauxval(AT_SECURE));
	supplementary_groups();
	users();
	users_of_files();
	groups();
	processes();
	for_good();
	return 0;
}
