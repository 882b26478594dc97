/* A program that is killed: a page of a mapping lies behind the end of its file. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
	int fd = open("short", O_RDWR | O_CREAT, 0600);
	write(fd, "x", 1);
	volatile char *pages = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
	printf("%c %d\n", pages[0], pages[4095]);
	fflush(stdout);
	printf("%d\n", pages[4096]);
	return 0;
}
