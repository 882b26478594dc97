/* Runs a copy of itself that belongs to others and has their rights: what it is then. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY "/copy"

static void copy_itself(mode_t mode)
{
	static char bytes[1 << 16];
	int from = open("/proc/self/exe", O_RDONLY), to = open(COPY, O_CREAT | O_WRONLY, 0700);
	for (ssize_t count; (count = read(from, bytes, sizeof(bytes))) > 0;)
		write(to, bytes, count);
	close(to);
	chown(COPY, 2000, 3000);
	chmod(COPY, mode);
}

static void show(void)
{
	uid_t user[3];
	gid_t group[3];
	getresuid(&user[0], &user[1], &user[2]);
	getresgid(&group[0], &group[1], &group[2]);
	printf("%u %u %u, %u %u %u, secure %lu, told %lu %lu %lu %lu\n", user[0], user[1], user[2],
	       group[0], group[1], group[2], getauxval(AT_SECURE), getauxval(AT_UID),
	       getauxval(AT_EUID), getauxval(AT_GID), getauxval(AT_EGID));
}

/* Arguments: the copy's mode in octal, and whether no program may give it more rights. */
int main(int count, char **arguments)
{
	if (strcmp(arguments[1], "again") == 0) {
		show();
		return 0;
	}
	copy_itself(strtoul(arguments[1], NULL, 8));
	if (setgid(100) != 0 || setuid(1000) != 0)
		return 1;
	if (count > 2 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return 2;
	execl(COPY, "copy", "again", NULL);
	perror("execl");
	return 3;
}
