/* Initialised and zero data of all kinds: .data, .bss, relocated pointers, thread-local. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int initialised[5000] = {1, 2, 3, [4999] = 99};
static int zero[50000];
static const char *const pointers[] = {"relocated", "in", "place"};
static _Thread_local int local = 7;
static _Thread_local char local_zero[300];

static int all_zero(const void *start, size_t length)
{
	const unsigned char *bytes = start;
	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return 0;
	return 1;
}

int main(void)
{
	printf("data %d %d %d %d %d\n", initialised[0], initialised[1], initialised[2],
	       initialised[3], initialised[4999]);
	printf("bss zero: %d\n", all_zero(zero, sizeof(zero)));
	memset(zero, 1, sizeof(zero));
	printf("bss written: %d\n", zero[49999] == 0x01010101);
	for (int i = 0; i < 3; i++)
		printf("%s\n", pointers[i]);
	printf("thread-local %d, zero %d\n", local, all_zero(local_zero, sizeof(local_zero)));
	local = 8;
	errno = 0;
	long result = close(99);
	printf("thread-local %d, close %ld, errno %d\n", local, result, errno);
	return 0;
}
