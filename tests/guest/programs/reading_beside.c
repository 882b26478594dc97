/* One thread reads from standard input, which may have to wait, while another computes. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile int done;

static void *read_line(void *argument)
{
	char line[64];
	ssize_t length = read(0, line, sizeof(line) - 1);
	line[length > 0 ? length : 0] = 0;
	printf("read: %.*s\n", (int)strcspn(line, "\n"), line);
	done = 1;
	return argument;
}

int main(void)
{
	pthread_t reader;
	puts("computing");
	fflush(stdout);
	pthread_create(&reader, NULL, read_line, NULL);
	while (!done)
		;
	return pthread_join(reader, NULL);
}
