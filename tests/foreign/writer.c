/*
 * Writes to a disk until the power is cut: each write takes some sectors and fills them with its
 * number, is flushed, and is then told of.
 *
 * writer DEVICE
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* As in power_cut.py, which computes from them what is on the disk. */
enum {
	SECTOR = 512,
	SECTORS = 256,
	LONGEST = 8,
	SEED = 1,
	MULTIPLIER = 1664525,
	INCREMENT = 1013904223,
};

static uint64_t data[LONGEST * SECTOR / sizeof(uint64_t)];

int main(int argc, char **argv)
{
	uint32_t dice = SEED;
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;

	if (fd < 0) {
		perror("open");
		return 1;
	}
	for (uint64_t number = 1;; number++) {
		size_t count, size;
		off_t first;

		dice = dice * MULTIPLIER + INCREMENT;
		count = 1 + (dice >> 16) % LONGEST;
		first = (off_t)((dice >> 20) % (SECTORS - LONGEST));
		size = count * SECTOR;
		for (size_t word = 0; word < size / sizeof(uint64_t); word++)
			data[word] = number;
		if (pwrite(fd, data, size, first * SECTOR) != (ssize_t)size || fdatasync(fd) < 0) {
			perror("write");
			return 1;
		}
		dprintf(STDOUT_FILENO, "flushed %llu\n", (unsigned long long)number);
	}
}
