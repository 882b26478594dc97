/* Moving data between files, names of open files, locks, openat2, files without a name. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "show.h"

static char buffer[1 << 20];

static int make(const char *path, const char *text)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	write(fd, text, strlen(text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void show_content(int fd)
{
	char text[200] = "";
	long count = pread(fd, text, sizeof(text) - 1, 0);
	printf("  %ld \"%.*s\" at %ld\n", count, count < 0 ? 0 : (int)count, text,
	       (long)lseek(fd, 0, SEEK_CUR));
}

static void sends(void)
{
	int in = make("in", "0123456789"), out = make("out", ""), fds[2];
	off_t at = 2;
	puts("-- sendfile");
	pipe2(fds, O_NONBLOCK);
	SHOW(sendfile(out, in, NULL, 4));
	SHOW(sendfile(out, in, &at, 3));
	printf("%ld\n", (long)at);
	show_content(in);
	show_content(out);
	SHOW(sendfile(fds[1], in, NULL, 100));
	SHOW(read(fds[0], buffer, 100));
	SHOW(sendfile(out, in, NULL, 100));
	SHOW(sendfile(out, fds[0], NULL, 1));
	SHOW(sendfile(fds[1], in, &(off_t){-1}, 1));
	SHOW(sendfile(in, open("/", O_RDONLY), NULL, 1));
	SHOW(sendfile(open("out", O_WRONLY | O_APPEND), in, &(off_t){0}, 5));
	SHOW(sendfile(open("in", O_RDONLY), in, &(off_t){0}, 5));
	close(in);
	close(out);
}

static void ranges(void)
{
	int in = make("in", "0123456789"), out = make("out", "abcdef");
	int fds[2];
	puts("-- copy_file_range");
	pipe(fds);
	SHOW(copy_file_range(in, NULL, out, NULL, 4, 0));
	show_content(in);
	show_content(out);
	off_t from = 8, to = 1;
	SHOW(copy_file_range(in, &from, out, &to, 10, 0));
	printf("%ld %ld\n", (long)from, (long)to);
	show_content(out);
	SHOW(copy_file_range(in, &from, out, &to, 10, 0));
	SHOW(copy_file_range(in, NULL, out, NULL, 4, 1));
	SHOW(copy_file_range(in, &(off_t){0}, in, &(off_t){2}, 4, 0));
	SHOW(copy_file_range(in, &(off_t){0}, in, &(off_t){5}, 5, 0));
	show_content(in);
	SHOW(copy_file_range(in, NULL, fds[1], NULL, 4, 0));
	SHOW(copy_file_range(open("/", O_RDONLY), NULL, out, NULL, 4, 0));
	SHOW(copy_file_range(in, NULL, open("out", O_WRONLY | O_APPEND), NULL, 4, 0));
	SHOW(copy_file_range(in, NULL, open("out", O_RDONLY), NULL, 4, 0));
	SHOW(copy_file_range(99, NULL, out, NULL, 4, 0));
	SHOW(copy_file_range(in, &(off_t){-1}, out, NULL, 4, 0));
}

static void splices(void)
{
	int in = make("in", "0123456789"), out = make("out", "abcdef");
	int one[2], two[2];
	puts("-- splice");
	pipe2(one, O_NONBLOCK);
	pipe2(two, O_NONBLOCK);
	SHOW(splice(in, NULL, one[1], NULL, 4, 0));
	off_t at = 7;
	SHOW(splice(in, &at, one[1], NULL, 100, 0));
	printf("%ld\n", (long)at);
	show_content(in);
	SHOW(tee(one[0], two[1], 100, 0));
	SHOW(read(two[0], buffer, 100));
	printf("%.7s\n", buffer);
	SHOW(tee(one[0], two[1], 5, 0));
	SHOW(splice(one[0], NULL, out, &(off_t){2}, 3, 0));
	SHOW(splice(one[0], NULL, out, NULL, 100, 0));
	show_content(out);
	SHOW(splice(one[0], NULL, out, NULL, 100, 0));
	SHOW(splice(two[0], NULL, one[1], NULL, 100, 0));
	SHOW(read(one[0], buffer, 100));
	SHOW(splice(in, NULL, out, NULL, 1, 0));
	SHOW(splice(one[0], &at, out, NULL, 1, 0));
	SHOW(splice(one[0], NULL, one[1], NULL, 1, 0));
	SHOW(splice(one[1], NULL, out, NULL, 1, 0));
	SHOW(splice(in, NULL, one[1], NULL, 1, 77));
	SHOW(splice(in, NULL, one[1], NULL, 0, 0));
	SHOW(splice(99, NULL, one[1], NULL, 1, 0));
	SHOW(tee(in, one[1], 1, 0));
	struct iovec pieces[2] = {{"user ", 5}, {"memory", 6}};
	SHOW(vmsplice(one[1], pieces, 2, 0));
	struct iovec into = {buffer, 100};
	SHOW(vmsplice(one[0], &into, 1, 0));
	printf("%.11s\n", buffer);
	SHOW(vmsplice(in, pieces, 2, 0));
	int big = open("big", O_RDWR | O_CREAT | O_TRUNC, 0600);
	ftruncate(big, 200000);
	SHOW(splice(big, NULL, one[1], NULL, 200000, SPLICE_F_NONBLOCK));
	SHOW(splice(big, NULL, one[1], NULL, 200000, SPLICE_F_NONBLOCK));
	close(one[1]);
	SHOW(splice(one[0], NULL, out, NULL, 200000, 0));
	SHOW(splice(one[0], NULL, out, NULL, 200000, 0));
}

static const char *name_of(int fd)
{
	static char text[300];
	char path[40];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	long length = readlink(path, text, sizeof(text) - 1);
	text[length < 0 ? 0 : length] = '\0';
	char *last = strrchr(text, '/');
	return last == NULL ? text : last;
}

static void names(void)
{
	puts("-- names");
	int fd = make("a file", "");
	puts(name_of(fd));
	rename("a file", "renamed");
	puts(name_of(fd));
	mkdir("directory", 0755);
	int inside = make("directory/inside", "");
	puts(name_of(inside));
	puts(name_of(open("directory", O_RDONLY)));
	puts(name_of(open("directory/inside", O_PATH)));
	puts(name_of(open("/dev/null", O_RDONLY)));
	puts(name_of(open("/proc/self/status", O_RDONLY)));
}

static void locks(void)
{
	int one = make("lock", ""), two = open("lock", O_RDONLY), same = dup(one);
	struct flock range = {.l_type = F_WRLCK};
	puts("-- locks");
	SHOW(flock(one, LOCK_SH));
	SHOW(flock(two, LOCK_SH | LOCK_NB));
	SHOW(flock(two, LOCK_EX | LOCK_NB));
	SHOW(flock(one, LOCK_EX | LOCK_NB));
	SHOW(flock(two, LOCK_SH | LOCK_NB));
	SHOW(flock(same, LOCK_EX | LOCK_NB));
	SHOW(flock(one, LOCK_UN));
	SHOW(flock(two, LOCK_EX | LOCK_NB));
	SHOW(flock(one, LOCK_SH | LOCK_NB));
	close(two);
	SHOW(flock(one, LOCK_EX | LOCK_NB));
	close(one);
	two = open("lock", O_RDONLY);
	SHOW(flock(two, LOCK_EX | LOCK_NB));
	close(same);
	SHOW(flock(two, LOCK_EX | LOCK_NB));
	SHOW(flock(two, LOCK_NB));
	SHOW(flock(two, 16));
	SHOW(flock(99, LOCK_SH));
	SHOW(fcntl(two, F_SETLK, &range));
	range.l_type = F_RDLCK;
	SHOW(fcntl(two, F_SETLK, &range));
	SHOW(fcntl(two, F_GETLK, &range));
	SHOW(range.l_type);
	range.l_type = 9;
	SHOW(fcntl(two, F_SETLK, &range));
	range.l_type = F_UNLCK;
	SHOW(fcntl(two, F_GETLK, &range));
	SHOW(fcntl(two, F_SETLK, (void *)8));
}

static long how(const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	uint64_t words[3] = {flags, mode, resolve};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, words, sizeof(words));
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 1;
}

static long how_in(const char *directory, const char *path, uint64_t resolve)
{
	uint64_t words[3] = {O_RDONLY, 0, resolve};
	int start = open(directory, O_RDONLY);
	long fd = syscall(SYS_openat2, start, path, words, sizeof(words));
	int error = errno;
	if (fd >= 0)
		close(fd);
	close(start);
	errno = error;
	return fd < 0 ? -1 : 1;
}

static void openat2s(void)
{
	enum { NO_XDEV = 1, NO_MAGIC = 2, NO_LINKS = 4, BENEATH = 8, IN_ROOT = 16 };
	uint64_t longer[4] = {O_RDONLY};
	puts("-- openat2");
	mkdir("tree", 0755);
	mkdir("tree/sub", 0755);
	close(make("tree/file", "x"));
	close(make("outside", "x"));
	symlink("../outside", "tree/up");
	symlink("/file", "tree/absolute");
	symlink("file", "tree/link");
	symlink("../file", "tree/sub/back");
	SHOW(how("tree/file", O_RDONLY, 0, 0));
	SHOW(how("tree/new", O_RDWR | O_CREAT, 0600, 0));
	SHOW(how("tree/file", O_RDONLY, 0600, 0));
	SHOW(how("tree/file", O_RDWR | O_CREAT, 070000, 0));
	SHOW(how("tree/file", 1ull << 40, 0, 0));
	SHOW(how("tree/file", O_PATH | O_RDWR, 0, 0));
	SHOW(how("tree/file", O_RDONLY, 0, 1 << 20));
	SHOW(how("tree/file", O_RDONLY, 0, BENEATH | IN_ROOT));
	SHOW(syscall(SYS_openat2, AT_FDCWD, "tree/file", longer, 23));
	SHOW(syscall(SYS_openat2, AT_FDCWD, "tree/file", longer, 32) > 0);
	longer[3] = 1;
	SHOW(syscall(SYS_openat2, AT_FDCWD, "tree/file", longer, 32));
	SHOW(syscall(SYS_openat2, AT_FDCWD, "tree/file", NULL, 24));
	SHOW(how("tree/link", O_RDONLY, 0, NO_LINKS));
	SHOW(how("tree/link", O_PATH | O_NOFOLLOW, 0, NO_LINKS));
	SHOW(how("tree/link", O_RDONLY, 0, NO_MAGIC));
	SHOW(how("/proc/self/exe", O_RDONLY, 0, NO_MAGIC));
	SHOW(how("/proc/self/exe", O_RDONLY, 0, 0));
	SHOW(how("/proc/version", O_RDONLY, 0, NO_XDEV));
	SHOW(how_in("tree", "file", BENEATH));
	SHOW(how_in("tree", "link", BENEATH));
	SHOW(how_in("tree", "up", BENEATH));
	SHOW(how_in("tree", "absolute", BENEATH));
	SHOW(how_in("tree", "/file", BENEATH));
	SHOW(how_in("tree", "../outside", BENEATH));
	SHOW(how_in("tree", "sub/../file", BENEATH));
	SHOW(how_in("tree", "sub/back", BENEATH));
	SHOW(how_in("tree", "sub/../../tree/file", BENEATH));
	SHOW(how_in("tree", "up", IN_ROOT));
	SHOW(how_in("tree", "absolute", IN_ROOT));
	SHOW(how_in("tree", "/file", IN_ROOT));
	SHOW(how_in("tree", "../../../file", IN_ROOT));
	SHOW(how_in("tree", "../outside", IN_ROOT));
}

static void nameless(void)
{
	struct stat stat;
	char path[40];
	puts("-- files without a name");
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);
	SHOW(fstat(fd, &stat));
	printf("%o links %ld\n", stat.st_mode, (long)stat.st_nlink);
	SHOW(write(fd, "content", 7));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	SHOW(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	SHOW(fstat(fd, &stat));
	printf("links %ld\n", (long)stat.st_nlink);
	show_content(open("named", O_RDONLY));
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	SHOW(linkat(AT_FDCWD, path, AT_FDCWD, "named too", AT_SYMLINK_FOLLOW));
	SHOW(open(".", O_TMPFILE | O_RDONLY, 0600));
	SHOW(open("named", O_TMPFILE | O_RDWR, 0600));
	SHOW(open("absent", O_TMPFILE | O_RDWR, 0600));
	SHOW(open("/proc", O_TMPFILE | O_RDWR, 0600));
	fd = memfd_create("memory", MFD_CLOEXEC);
	SHOW(fcntl(fd, F_GETFD));
	SHOW(ftruncate(fd, 10000));
	char *map = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	strcpy(map + 5000, "through the mapping");
	SHOW(pread(fd, buffer, 19, 5000));
	printf("%.19s\n", buffer);
	fstat(fd, &stat);
	printf("%o links %ld size %ld\n", stat.st_mode, (long)stat.st_nlink, (long)stat.st_size);
	SHOW(memfd_create("x", 0x100000));
	SHOW(memfd_create((void *)8, 0));
	memset(buffer, 'n', 300);
	buffer[250] = 0;
	SHOW(memfd_create(buffer, 0));
	buffer[249] = 0;
	SHOW(memfd_create(buffer, 0) > 0);
}

static void vectors(void)
{
	int fd = make("vector", "0123456789"), fds[2];
	struct iovec pieces[3] = {{buffer, 3}, {buffer + 10, 0}, {buffer + 20, 4}};
	pipe2(fds, O_NONBLOCK);
	puts("-- vectors");
	SHOW(readv(fd, pieces, 3));
	SHOW(preadv(fd, pieces, 3, 5));
	SHOW(preadv(fd, pieces, 3, -1));
	SHOW(preadv2(fd, pieces, 3, -1, 0));
	SHOW(preadv2(fd, pieces, 3, 0, 1));
	SHOW(preadv2(fd, pieces, 3, -2, 0));
	SHOW(preadv2(fd, pieces, 3, 0, 0x4000));
	SHOW(pwritev2(fd, pieces, 3, 0, 2 | 4));
	SHOW(pwritev(fd, pieces, 3, 8));
	show_content(fd);
	SHOW(readv(fd, pieces, -1));
	SHOW(readv(fd, pieces, 1025));
	SHOW(readv(fd, pieces, 0));
	SHOW(readv(fd, NULL, 1));
	SHOW(readv(99, pieces, 1));
	SHOW(writev(fds[1], pieces, 3));
	SHOW(preadv2(fds[0], pieces, 3, -1, 0));
	SHOW(preadv(fds[0], pieces, 3, 0));
	pieces[1].iov_len = -1;
	SHOW(writev(fds[1], pieces, 3));
	pieces[1].iov_len = 0;
	pieces[2].iov_base = NULL;
	SHOW(writev(fds[1], pieces, 3));
	SHOW(read(fds[0], buffer, 100));
	SHOW(syscall(SYS_readahead, fd, 0L, 100L));
	SHOW(syscall(SYS_readahead, fds[0], 0L, 100L));
	SHOW(sync_file_range(fd, 0, 10, 0));
	SHOW(sync_file_range(fd, 0, 10, 99));
	SHOW(sync_file_range(fds[0], 0, 10, 0));
}

int main(void)
{
	sends();
	ranges();
	splices();
	names();
	locks();
	openat2s();
	nameless();
	vectors();
	return 0;
}
