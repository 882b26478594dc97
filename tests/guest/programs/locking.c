/* Locking memory: mlock and its kin. */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "show.h"

#define PAGE 4096

static char *pages(int protection, int count)
{
	return mmap(NULL, count * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void)
{
	char *block = pages(PROT_READ | PROT_WRITE, 4);
	char *nothing = pages(PROT_NONE, 1);
	char *huge = (char *)UINTPTR_MAX - 2 * PAGE + 1;
	SHOW(mlock(block, 4 * PAGE));
	SHOW(mlock(block + 5, 1));
	SHOW(mlock(block, 0));
	SHOW(munlock(block + PAGE, 5));
	SHOW(block[0] | block[3 * PAGE]);
	SHOW(mlock(nothing, PAGE));
	SHOW(syscall(SYS_mlock2, block, PAGE, 1));
	SHOW(syscall(SYS_mlock2, nothing, PAGE, 1));
	SHOW(syscall(SYS_mlock2, block, PAGE, 2));
	SHOW(mlock(huge, 4 * PAGE));
	SHOW(munlock(huge, 4 * PAGE));
	SHOW(munmap(block + PAGE, PAGE));
	SHOW(mlock(block, 3 * PAGE));
	SHOW(munlock(block, 3 * PAGE));
	SHOW(mlock(block + PAGE, PAGE));
	SHOW(mlockall(0));
	SHOW(mlockall(8));
	SHOW(mlockall(4));
	SHOW(mlockall(MCL_CURRENT | 4));
	SHOW(munlockall());
	SHOW(mlockall(MCL_FUTURE));
	SHOW(munlockall());

	/* The limit comes before what the range is like. */
	struct rlimit limit = {16 * PAGE, 16 * PAGE};
	SHOW(setrlimit(RLIMIT_MEMLOCK, &limit));
	setuid(12345); /* who may not has no privilege to lose */
	SHOW(mlock(block, 17 * PAGE));
	SHOW(mlock(block, UINTPTR_MAX - 2 * PAGE));
	SHOW(mlock(huge, 4 * PAGE));
	SHOW(munlock(block, UINTPTR_MAX - 2 * PAGE));
	return 0;
}
