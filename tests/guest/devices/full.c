/* Writes to /dev/vda and to a file of /mnt/small until that fails, makes room, and goes on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE 4096
#define DISK  256 /* pieces */

static char piece[PIECE];

/* Returns how many pieces could be written from the beginning on, each of them made stable. */
static int fill(int file)
{
	for (int number = 0; number < DISK; number++) {
		memset(piece, 'a' + number % 26, PIECE);
		errno = 0;
		if (pwrite(file, piece, PIECE, number * PIECE) != PIECE || fsync(file) != 0)
			return number;
	}
	return DISK;
}

static void use(const char *name, int file, const char *ballast)
{
	int written = fill(file);
	printf("%s: %s\n", name, strerror(errno));
	printf("%s: %d pieces\n", name, written);
	memset(piece, 0, PIECE);
	pread(file, piece, PIECE, (written - 1) * PIECE);
	printf("%s: kept %d\n", name, piece[PIECE - 1] == 'a' + (written - 1) % 26);
	unlink(ballast);
	printf("%s: goes on %d\n", name, pwrite(file, piece, PIECE, written * PIECE) == PIECE);
}

int main(void)
{
	use("disk", open("/dev/vda", O_RDWR), "/mnt/small/first");
	use("file", open("/mnt/small/file", O_RDWR | O_CREAT, 0600), "/mnt/small/second");
	return 0;
}
