/* Files that are no files: what all of them have to tell. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t value;

static inline long get(int fd)
{
	value = 0;
	return read(fd, &value, 8);
}

static inline long put(int fd, uint64_t number) { return write(fd, &number, 8); }

static inline void show_name(int fd)
{
	char path[64], text[64] = "";
	struct stat stat;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readlink(path, text, sizeof(text) - 1);
	fstat(fd, &stat);
	printf("%s, mode %o\n", text, stat.st_mode);
}
