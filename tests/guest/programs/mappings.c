/* The program's address space: what each call answers to what can and what cannot be. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

static uintptr_t base;

/* Addresses are told as distances from the base: where mappings are is the kernel's choice. */
static void show(const char *what, long result)
{
	if (result == -1)
		printf("%s: %s\n", what, strerror(errno));
	else if ((uintptr_t)result >= base && (uintptr_t)result < base + 64 * PAGE)
		printf("%s: base + %#lx\n", what, (uintptr_t)result - base);
	else
		printf("%s: %s\n", what, result == 0 ? "0" : "elsewhere");
	errno = 0;
}

#define SHOW(call) show(#call, (long)(call))

static char *at(unsigned page) { return (char *)base + page * PAGE; }

/* 64 pages that are there, each with its number in its first byte. */
static void begin(void)
{
	base = (uintptr_t)mmap(NULL, 64 * PAGE, RW, ANONYMOUS, -1, 0);
	for (unsigned i = 0; i < 64; i++)
		*at(i) = (char)i;
}

static void end(void) { munmap((void *)base, 64 * PAGE); }

/* Which pages of [first, last) can be read: their content; those that cannot: a dot. */
static void look(unsigned first, unsigned last)
{
	int fd = open("probe", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	for (unsigned i = first; i < last; i++)
		if (write(fd, at(i), 1) == 1)
			printf(" %d", *at(i));
		else
			printf(" .");
	printf("\n");
	close(fd);
	errno = 0;
}

static void map(void)
{
	begin();
	SHOW(mmap(at(1) + 1, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0));
	SHOW(mmap(at(1), 0, RW, ANONYMOUS | MAP_FIXED, -1, 0));
	SHOW(mmap(at(1), 1, RW, ANONYMOUS | MAP_FIXED, -1, 0));
	SHOW(mmap(at(2), PAGE + 1, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0));
	look(0, 6);
	SHOW(mmap(NULL, SIZE_MAX - PAGE, RW, ANONYMOUS, -1, 0));
	SHOW(mmap(NULL, 1ul << 48, RW, ANONYMOUS | MAP_NORESERVE, -1, 0));
	SHOW(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
	SHOW(mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | MAP_PRIVATE | MAP_ANONYMOUS | 4, -1, 0));
	SHOW(mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0));
	SHOW(mmap((void *)-PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0));
	SHOW(mmap(at(4), 2 * PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	SHOW(munmap(at(4), 2 * PAGE));
	SHOW(mmap(at(4), 2 * PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	SHOW(mmap(at(6), PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0));
	SHOW(mmap(at(7), PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	look(0, 9);
	int fd = open("probe", O_RDONLY);
	SHOW(mmap(at(8), 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, INT64_MAX - PAGE + 1));
	SHOW(mmap(at(8), 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, PAGE / 2));
	close(fd);
	end();
}

static void unmap(void)
{
	begin();
	SHOW(munmap(at(3), PAGE));
	SHOW(munmap(at(3), PAGE));
	SHOW(munmap(at(2), 3 * PAGE));
	SHOW(munmap(at(6), 1));
	SHOW(munmap(at(8), 0));
	SHOW(munmap(at(8) + 8, PAGE));
	SHOW(munmap(at(8), SIZE_MAX));
	SHOW(munmap((void *)-PAGE, PAGE));
	look(0, 10);
	end();
}

static void protect(void)
{
	begin();
	SHOW(mprotect(at(1), PAGE, PROT_NONE));
	SHOW(mprotect(at(2), PAGE + 1, PROT_READ));
	SHOW(mprotect(at(1) + 1, PAGE, PROT_READ));
	SHOW(mprotect(at(5), 0, PROT_NONE));
	SHOW(mprotect(at(5), PAGE, 0x100));
	SHOW(mprotect(at(5), SIZE_MAX - PAGE, PROT_NONE));
	munmap(at(8), PAGE);
	/* What comes before a hole has changed. */
	SHOW(mprotect(at(7), 3 * PAGE, PROT_NONE));
	SHOW(mprotect(at(8), PAGE, PROT_READ));
	look(0, 12);
	SHOW(mprotect(at(0), 8 * PAGE, RW));
	look(0, 12);
	SHOW(mprotect(at(12), PAGE, PROT_READ | PROT_EXEC));
	SHOW(mprotect(at(12), PAGE, RW));
	SHOW(mprotect((void *)-PAGE, PAGE, RW));
	end();
}

static void remap(void)
{
	begin();
	munmap(at(10), 54 * PAGE);
	SHOW(mremap(at(0), 4 * PAGE, 2 * PAGE, 0));
	look(0, 6);
	SHOW(mremap(at(0), 2 * PAGE, 4 * PAGE, 0));
	char *moved = mremap(at(0), 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE);
	printf("moved: %d %d %d\n", moved[0], moved[PAGE], moved[2 * PAGE]);
	SHOW(munmap(moved, 3 * PAGE));
	look(0, 10);
	SHOW(mremap(at(4), 6 * PAGE, 8 * PAGE, 0));
	look(4, 14);
	SHOW(mremap(at(4) + 1, PAGE, PAGE, 0));
	SHOW(mremap(at(4), PAGE, 0, 0));
	SHOW(mremap(at(4), 0, PAGE, MREMAP_MAYMOVE));
	SHOW(mremap(at(4), PAGE, PAGE, 0x80));
	SHOW(mremap(at(4), PAGE, PAGE, MREMAP_FIXED, at(30)));
	SHOW(mremap(at(20), PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	SHOW(mremap(at(4), 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(5)));
	SHOW(mremap(at(4), 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(20) + 1));
	SHOW(mremap(at(4), 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(20)));
	look(4, 26);
	SHOW(mremap(at(20), 4 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(8)));
	look(4, 26);
	moved = mremap(at(9), 2 * PAGE, 32 * PAGE, MREMAP_MAYMOVE);
	printf("moved: %d %d %d\n", moved[0], moved[PAGE], moved[31 * PAGE]);
	SHOW(munmap(moved, 32 * PAGE));
	end();
}

static void advise(void)
{
	begin();
	SHOW(madvise(at(1), 2 * PAGE, MADV_DONTNEED));
	SHOW(madvise(at(4) + 1, PAGE, MADV_DONTNEED));
	SHOW(madvise(at(4), 0, MADV_DONTNEED));
	SHOW(madvise(at(4), PAGE, 12345));
	SHOW(madvise(at(4), SIZE_MAX - PAGE, MADV_NORMAL));
	SHOW(madvise(at(4), PAGE, MADV_WILLNEED));
	SHOW(madvise(at(4), PAGE, MADV_SEQUENTIAL));
	SHOW(madvise(at(4), PAGE, MADV_RANDOM));
	SHOW(madvise(at(4), PAGE, MADV_DONTFORK));
	SHOW(madvise(at(4), PAGE, MADV_DOFORK));
	munmap(at(6), PAGE);
	/* The hole is told, and what lies behind it is done all the same. */
	SHOW(madvise(at(5), 3 * PAGE, MADV_DONTNEED));
	mprotect(at(9), PAGE, PROT_NONE);
	SHOW(madvise(at(9), PAGE, MADV_DONTNEED));
	SHOW(madvise(at(9), PAGE, MADV_POPULATE_READ));
	mprotect(at(9), PAGE, RW);
	SHOW(madvise(at(11), 2 * PAGE, MADV_POPULATE_WRITE));
	look(0, 12);
	end();
}

static void heap(void)
{
	char *start = (char *)syscall(SYS_brk, 0);
	printf("%d\n", (char *)syscall(SYS_brk, start + 5 * PAGE + 3) == start + 5 * PAGE + 3);
	start[5 * PAGE + 2] = 9;
	start[6 * PAGE - 1 - ((uintptr_t)start & (PAGE - 1))] = 8;
	printf("%d\n", (char *)syscall(SYS_brk, 1) == start + 5 * PAGE + 3);
	printf("%d\n", (char *)syscall(SYS_brk, 1ul << 60) == start + 5 * PAGE + 3);
	printf("%d\n", (char *)syscall(SYS_brk, start + PAGE) == start + PAGE);
	printf("%d\n", (char *)syscall(SYS_brk, start + 6 * PAGE) == start + 6 * PAGE);
	printf("%d\n", start[5 * PAGE + 2]);
	/* A mapping is in the way. */
	char *next = (char *)(((uintptr_t)start + 8 * PAGE) & ~(PAGE - 1));
	mmap(next, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	printf("%d\n", (char *)syscall(SYS_brk, next + PAGE) == start + 6 * PAGE);
	munmap(next, PAGE);
	printf("%d\n", (char *)syscall(SYS_brk, start) == start);
}

/* An address space full of holes: every second page of many. */
static void holes(void)
{
	const unsigned count = 2000;
	char *pages = mmap(NULL, count * PAGE, RW, ANONYMOUS, -1, 0);
	memset(pages, 5, count * PAGE);
	int failed = 0, sum = 0;
	for (unsigned i = 0; i < count; i += 2)
		failed += munmap(pages + i * PAGE, PAGE) != 0;
	for (unsigned i = 1; i < count; i += 2)
		sum += pages[i * PAGE];
	for (unsigned i = 0; i < count; i += 2)
		failed += mmap(pages + i * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			       0) != pages + i * PAGE;
	for (unsigned i = 0; i < count; i++)
		sum += pages[i * PAGE];
	printf("%d failed, sum %d\n", failed, sum);
	SHOW(munmap(pages, count * PAGE));
}

int main(void)
{
	map();
	unmap();
	protect();
	remap();
	advise();
	heap();
	holes();
	return 0;
}
