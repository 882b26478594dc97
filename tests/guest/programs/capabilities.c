/* capget: who has capabilities, and how it is asked. */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "show.h"

#define VERSION 0x20080522
#define CAP_CHOWN 0

static struct {
	uint32_t version;
	int thread;
} header;

static struct {
	uint32_t effective, permitted, inheritable;
} sets[2];

static long get(uint32_t version, int thread, void *data)
{
	header.version = version;
	header.thread = thread;
	memset(sets, 0x55, sizeof(sets));
	return syscall(SYS_capget, &header, data);
}

/* What the superuser has surely: in containers some are missing. */
static void show_sets(void)
{
	SHOW(get(VERSION, 0, sets));
	printf("%u %u %u\n", sets[0].effective >> CAP_CHOWN & 1, sets[0].permitted >> CAP_CHOWN & 1,
	       sets[0].inheritable);
}

int main(void)
{
	show_sets();
	SHOW(get(0x20071026, getpid(), sets));
	SHOW(get(0x19980330, 0, sets));
	printf("%x\n", sets[1].effective);
	SHOW(get(1, 0, sets));
	printf("%x\n", header.version);
	SHOW(get(1, 0, NULL));
	SHOW(get(VERSION, 0, NULL));
	SHOW(get(VERSION, -1, sets));
	SHOW(get(VERSION, 123456789, sets));
	SHOW(get(VERSION, 0, (void *)8));
	SHOW(setresuid(1, 1, 0));
	show_sets();
	SHOW(setresuid(-1, 0, -1));
	show_sets();
	SHOW(setresuid(1, 1, 1));
	show_sets();
	return 0;
}
