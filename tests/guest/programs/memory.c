/* The program's memory: mmap and its kin, of memory and of files; brk. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "show.h"

#define PAGE 4096

static int tried(const void *place) { return place == MAP_FAILED ? -1 : 0; }

/* A page is reachable if the kernel can write it out. */
static int readable(const void *address)
{
	int fd = open("probe", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t written = write(fd, address, 1);
	close(fd);
	return written == 1;
}

static void anonymous(void)
{
	uint8_t *block =
		mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("zero %d, page aligned %d\n", block[0] | block[8 * PAGE - 1],
	       (uintptr_t)block % PAGE == 0);
	memset(block, 0x55, 8 * PAGE);
	SHOW(munmap(block + 2 * PAGE, 2 * PAGE));
	for (int i = 0; i < 8; i++)
		printf("%d", readable(block + i * PAGE));
	printf("\n");
	SHOW(mprotect(block, PAGE, PROT_NONE));
	printf("%d\n", readable(block));
	SHOW(mprotect(block, PAGE, PROT_READ));
	printf("%d %x\n", readable(block), block[5]);
	SHOW(mprotect(block, 3 * PAGE, PROT_READ));
	SHOW(tried(mmap(block + 2 * PAGE, PAGE, PROT_READ,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)));
	printf("%x\n", block[2 * PAGE]);
	SHOW(tried(mmap(block, PAGE, PROT_READ,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)));
	SHOW(tried(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
	SHOW(tried(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0)));
	SHOW(tried(mmap((void *)1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)));
	SHOW(munmap(block + 1, PAGE));
	SHOW(munmap(block, 0));
	SHOW(madvise(block + 4 * PAGE, PAGE, MADV_DONTNEED));
	printf("%x %x\n", block[4 * PAGE], block[5 * PAGE]);
	uint8_t *moved = mremap(block + 4 * PAGE, 4 * PAGE, 100 * PAGE, MREMAP_MAYMOVE);
	printf("%x %x %x\n", moved[0], moved[PAGE], moved[99 * PAGE]);
	SHOW(munmap(moved, 100 * PAGE));
	printf("%d\n", readable(moved));
}

static void of_files(void)
{
	char text[3 * PAGE];
	int fd = open("mapped", O_RDWR | O_CREAT, 0600);
	memset(text, 'm', sizeof(text));
	SHOW(write(fd, text, 2 * PAGE + 10));
	char *private = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	char *shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
	printf("%c %c %d\n", private[0], private[2 * PAGE + 9], private[2 * PAGE + 10]);
	private[0] = 'p';
	shared[0] = 's';
	SHOW(pread(fd, text, 1, 0));
	printf("%c ", text[0]);
	SHOW(pread(fd, text, 1, PAGE));
	printf("%c %c\n", text[0], private[PAGE]);
	SHOW(pwrite(fd, "w", 1, PAGE + 1));
	printf("%c\n", shared[1]);
	SHOW(tried(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 100)));
	SHOW(tried(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0)));
	int only = open("mapped", O_RDONLY);
	SHOW(tried(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, only, 0)));
	SHOW(tried(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, only, 0)));
	char *fixed = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, only, 0);
	SHOW(mprotect(fixed, PAGE, PROT_READ | PROT_WRITE));
	SHOW(close(fd));
	SHOW(unlink("mapped"));
	printf("still %c\n", shared[1]);
	SHOW(munmap(private, 3 * PAGE));
	SHOW(munmap(shared, 2 * PAGE));
}

/* The C library leaves the break alone, and refuses to move it. */
static char *set_break(const char *to) { return (char *)syscall(SYS_brk, to); }

static void moving_the_break(void)
{
	char *start = set_break(NULL);
	start += -(uintptr_t)start % PAGE;
	SHOW(set_break(start + 3 * PAGE) - start);
	memset(start, 7, 3 * PAGE);
	SHOW(set_break(NULL) - start);
	SHOW(set_break(start + 1) - start);
	SHOW(readable(start + PAGE));
	SHOW(set_break(start + 3 * PAGE) - start);
	printf("still there: %d, again zero: %d\n", start[0], start[2 * PAGE + 1]);
	SHOW(set_break((char *)16) - start);
	SHOW(set_break((char *)-PAGE) - start);
}

static void heap(void)
{
	char *blocks[100];
	for (int i = 0; i < 100; i++)
		blocks[i] = memset(malloc(1000 * (size_t)i + 1), i, 1000 * (size_t)i + 1);
	long sum = 0;
	for (int i = 0; i < 100; i++)
		sum += blocks[i][1000 * i];
	for (int i = 0; i < 100; i++)
		free(blocks[i]);
	printf("sum %ld\n", sum);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	anonymous();
	of_files();
	moving_the_break();
	heap();
	return 0;
}
