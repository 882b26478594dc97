/* execve: what a program gets from the one before it, and what it does not. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "show.h"

static void second(int argc, char **argv)
{
	struct sigaction ignored, handled;
	for (int i = 0; i < argc; i++)
		printf("second argv[%d] %s\n", i, argv[i]);
	printf("environment %s\n", getenv("NEW"));
	SHOW(fcntl(10, F_GETFD));
	SHOW(fcntl(11, F_GETFD));
	SHOW(prctl(PR_GET_DUMPABLE));
	SHOW(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	sigaction(SIGUSR1, NULL, &ignored);
	sigaction(SIGUSR2, NULL, &handled);
	printf("%d %d\n", ignored.sa_handler == SIG_IGN, handled.sa_handler == SIG_DFL);
	printf("working directory %s\n", strrchr(getcwd(NULL, 0), '/'));
}

/* What /proc/self/exe leads to, whose path goes through links. */
static void third(const char *expected)
{
	char path[512] = "";
	printf("third %s: %d\n", strrchr(expected, '/'),
	       readlink("/proc/self/exe", path, sizeof(path) - 1) > 0 && strcmp(path, expected) == 0);
	fflush(stdout);
}

static void copy_program(const char *path)
{
	int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_WRONLY | O_CREAT, 0755);
	while (sendfile(to, from, NULL, 1 << 20) > 0)
		;
	close(from);
	close(to);
}

/* In the directory "elsewhere". */
static void run_third(void)
{
	char expected[512], *working = getcwd(NULL, 0);
	sprintf(expected, "%s/copy", working);
	copy_program("copy");
	symlink("copy", "link");
	symlink(".", "way");
	execl("../elsewhere/way//way/link", "link", "third", expected, "/proc/self/exe", NULL);
}

static void handler(int signal) { (void)signal; }

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "second") == 0) {
		second(argc, argv);
		fflush(stdout);
		run_third();
		return 9;
	}
	if (argc > 1 && strcmp(argv[1], "third") == 0) {
		third(argv[2]);
		if (argc > 3)
			execl(argv[3], "again", "third", argv[2], NULL);
		return 8;
	}
	char *const words[] = {"renamed", "second", "with blanks ", "", NULL};
	char *const environment[] = {"NEW=variable", NULL};
	mkdir("elsewhere", 0755);
	FILE *file = fopen("elsewhere/text", "w");
	fputs("not a program", file);
	fclose(file);
	file = fopen("elsewhere/script", "w");
	fputs("#! /nosuch/interpreter\n", file);
	fclose(file);
	SHOW(execve("elsewhere/nothing", words, environment));
	SHOW(execve("elsewhere", words, environment));
	SHOW(execve("elsewhere/text", words, environment));
	SHOW(chmod("elsewhere/text", 0755));
	SHOW(chmod("elsewhere/script", 0755));
	SHOW(execve("elsewhere/text", words, environment));
	SHOW(execve("elsewhere/script", words, environment));
	SHOW(execve("/proc/self/exe", (char *const *)16, environment));
	SHOW(dup2(1, 10));
	SHOW(dup3(1, 11, O_CLOEXEC));
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, handler);
	SHOW(chdir("elsewhere"));
	SHOW(prctl(PR_SET_DUMPABLE, 0));
	SHOW(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	fflush(stdout);
	execve("/proc/self/exe", words, environment);
	return 1;
}
