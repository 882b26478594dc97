/* Uses /dev/vda, 80 KiB, and /dev/vdb, read-only; with an argument, reads /dev/vda until it fails. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char buffer[70000];

#define SHOW(call)                                                              \
	do {                                                                    \
		errno = 0;                                                      \
		long result = (long)(call);                                     \
		printf("%s = %ld%s%s\n", #call, result, result < 0 ? " " : "", \
		       result < 0 ? strerror(errno) : "");                      \
	} while (0)

static void use(int disk)
{
	uint64_t size = 0;
	int sector = 0;
	struct stat status;
	SHOW(ioctl(disk, BLKGETSIZE64, &size));
	SHOW(ioctl(disk, BLKSSZGET, &sector));
	fstat(disk, &status);
	printf("size %llu, sector %d, block device %d, minor %u\n", (unsigned long long)size, sector,
	       S_ISBLK(status.st_mode), minor(status.st_rdev));
	SHOW(pread(disk, buffer, 10, 507));
	printf("%.10s\n", buffer);
	SHOW(pwrite(disk, "HELLO", 5, 510));
	SHOW(pread(disk, buffer, 10, 507));
	printf("%.10s\n", buffer);
	SHOW(pread(disk, buffer, sizeof(buffer), 1000));
	SHOW(lseek(disk, 0, SEEK_END));
	SHOW(read(disk, buffer, 1));
	SHOW(write(disk, "x", 1));
	SHOW(lseek(disk, -3, SEEK_END));
	SHOW(write(disk, "abcdef", 6));
	SHOW(fsync(disk));
	SHOW(fsync(STDOUT_FILENO));
}

static int read_until_it_fails(int disk)
{
	puts("reading");
	fflush(stdout);
	while (pread(disk, buffer, sizeof(buffer), 0) > 0)
		;
	perror("read");
	int rest = open("/dev/vda", O_RDONLY);
	perror("open");
	return rest < 0 && fsync(disk) < 0 ? 5 : 1;
}

int main(int argc, char **argv)
{
	int disk = open("/dev/vda", O_RDWR | O_DIRECT);
	(void)argv;
	if (argc > 1)
		return read_until_it_fails(disk);
	use(disk);
	disk = open("/dev/vdb", O_RDWR);
	SHOW(read(disk, buffer, 16));
	SHOW(write(disk, "x", 1));
	SHOW(open("/dev/vdc", O_RDONLY));
	return 0;
}
