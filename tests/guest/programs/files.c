/* Calls on files, with the structures and flags that differ between architectures. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "show.h"

static void show_stat(const char *path)
{
	struct stat stat;
	if (lstat(path, &stat) != 0) {
		printf("%s: %s\n", path, strerror(errno));
		return;
	}
	printf("%s: mode %o links %lu uid %u gid %u rdev %u:%u size %ld blocks %ld blksize %ld\n",
	       path, stat.st_mode, (unsigned long)stat.st_nlink, stat.st_uid, stat.st_gid,
	       major(stat.st_rdev), minor(stat.st_rdev), (long)stat.st_size, (long)stat.st_blocks,
	       (long)stat.st_blksize);
}

static void show_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	while ((entry = readdir(directory)))
		printf("  %s type %d\n", entry->d_name, entry->d_type);
	rewinddir(directory);
	int count = 0;
	while (readdir(directory))
		count++;
	printf("  %d entries\n", count);
	closedir(directory);
}

static void times(const char *path)
{
	struct timespec set[2] = {{1000000000, 123456789}, {1000000001, 987654321}};
	struct timespec keep[2] = {{0, UTIME_OMIT}, {5, 0}};
	struct stat stat;
	SHOW(utimensat(AT_FDCWD, path, set, 0));
	SHOW(lstat(path, &stat));
	printf("%ld.%ld %ld.%ld\n", (long)stat.st_atim.tv_sec, (long)stat.st_atim.tv_nsec,
	       (long)stat.st_mtim.tv_sec, (long)stat.st_mtim.tv_nsec);
	SHOW(utimensat(AT_FDCWD, path, keep, 0));
	SHOW(lstat(path, &stat));
	printf("%ld %ld\n", (long)stat.st_atim.tv_nsec, (long)stat.st_mtim.tv_sec);
	struct timespec early[2] = {{-1, 500000000}, {-1000000000, 1}}; /* before 1970 */
	SHOW(utimensat(AT_FDCWD, path, early, 0));
	SHOW(lstat(path, &stat));
	printf("%ld.%09ld %ld.%09ld\n", (long)stat.st_atim.tv_sec, (long)stat.st_atim.tv_nsec,
	       (long)stat.st_mtim.tv_sec, (long)stat.st_mtim.tv_nsec);
	keep[0].tv_nsec = 1000000000;
	SHOW(utimensat(AT_FDCWD, path, keep, 0));
}

static void opening(void)
{
	int fd;
	SHOW(fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0640));
	SHOW(write(fd, "hello world\n", 12));
	SHOW(open("file", O_RDWR | O_CREAT | O_EXCL, 0640));
	SHOW(open("file", O_RDONLY | O_DIRECTORY));
	SHOW(open("link", O_RDONLY));
	SHOW(symlink("file", "link"));
	SHOW(open("link", O_RDONLY | O_NOFOLLOW));
	SHOW(open("link", O_PATH | O_NOFOLLOW));
	SHOW(open("link/", O_RDONLY));
	SHOW(open("directory", O_WRONLY));
	SHOW(mkdir("directory", 0751));
	SHOW(open("directory", O_WRONLY));
	SHOW(open("directory", O_RDONLY | O_DIRECTORY));
	SHOW(openat(6, "inside", O_CREAT | O_WRONLY | O_TRUNC, 0600));
	printf("flags %o\n", fcntl(fd, F_GETFL) & ~O_LARGEFILE);
	SHOW(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
	printf("flags %o\n", (fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK | O_ACCMODE)));
	SHOW(fcntl(fd, F_GETFD));
	SHOW(fcntl(fd, F_SETFD, FD_CLOEXEC));
	SHOW(fcntl(fd, F_GETFD));
	SHOW(fcntl(fd, F_DUPFD, 20));
	SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 20));
	SHOW(dup3(fd, 30, O_CLOEXEC));
	SHOW(fcntl(30, F_GETFD));
	SHOW(dup3(fd, fd, 0));
	SHOW(close(30));
	SHOW(close(30));
	SHOW(fcntl(99, F_GETFD));
	SHOW(fcntl(fd, 9999));
}

static void transfers(void)
{
	char a[8] = "", b[8] = "", all[64] = "";
	struct iovec in[] = {{a, 5}, {NULL, 0}, {b, 7}};
	struct iovec out[] = {{"vector ", 7}, {"of three ", 9}, {"parts\n", 6}};
	int fd = open("vectors", O_RDWR | O_CREAT, 0600);
	SHOW(writev(fd, out, 3));
	SHOW(lseek(fd, 0, SEEK_SET));
	SHOW(readv(fd, in, 3));
	printf("%.5s|%.7s\n", a, b);
	SHOW(pread(fd, all, 6, 16));
	printf("%s", all);
	SHOW(pwrite(fd, "P", 1, 16));
	SHOW(preadv(fd, in, 3, 10));
	printf("%.5s|%.7s\n", a, b);
	SHOW(pread(fd, all, 6, -1));
	SHOW(readv(fd, in, -1));
	SHOW(read(fd, (void *)16, 10));
	SHOW(write(fd, (void *)16, 10));
	SHOW(read(-1, all, 1));
	SHOW(lseek(fd, 100, SEEK_SET));
	SHOW(write(fd, "end", 3));
	SHOW(lseek(fd, -3, SEEK_END));
	SHOW(read(fd, all, 60));
	SHOW(read(fd, all, 60));
	SHOW(lseek(fd, -1, SEEK_SET));
	SHOW(lseek(1, 0, SEEK_CUR));
	off_t offset = 4;
	int to = open("sent", O_RDWR | O_CREAT, 0600);
	SHOW(sendfile(to, fd, &offset, 10));
	printf("offset %ld\n", (long)offset);
	SHOW(sendfile(to, fd, NULL, 10));
	SHOW(ftruncate(to, 5));
	SHOW(truncate("sent", 6));
	SHOW(ftruncate(to, -1));
	SHOW(pread(to, all, 60, 0));
	printf("%.6s|%d\n", all, all[5]);
	SHOW(close(fd));
	SHOW(close(to));
}

static void names(void)
{
	char target[16];
	char path[4096];
	memset(target, 'x', sizeof(target));
	SHOW(readlink("link", target, sizeof(target)));
	printf("%.4s%c\n", target, target[4]);
	SHOW(readlink("link", target, 2));
	SHOW(readlink("file", target, 2));
	SHOW(link("file", "directory/hard"));
	SHOW(linkat(AT_FDCWD, "link", AT_FDCWD, "hardlink", 0));
	SHOW(rename("vectors", "directory/vectors"));
	SHOW(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "directory", 1 /* NOREPLACE */));
	SHOW(rename("file", "directory"));
	SHOW(rename("directory", "directory/below"));
	SHOW(rmdir("directory"));
	SHOW(unlink("directory"));
	SHOW(mknod("pipe", S_IFIFO | 0600, 0));
	SHOW(chdir("directory"));
	printf("in %s\n", strrchr(getcwd(path, sizeof(path)), '/'));
	SHOW(getcwd(path, 3) == NULL);
	SHOW(access("hard", R_OK | W_OK));
	SHOW(access("hard", X_OK));
	SHOW(access("nothing", F_OK));
	SHOW(chmod("hard", 0755));
	SHOW(access("hard", X_OK));
	SHOW(chown("hard", 12, 34));
	SHOW(chdir(".."));
	SHOW(umask(077));
	SHOW(umask(022));
}

static void wide_stat(void)
{
	struct statx statx_buffer;
	struct statfs fs;
	SHOW(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &statx_buffer));
	printf("statx mode %o size %llu links %u uid %u blocks %llu\n", statx_buffer.stx_mode,
	       (unsigned long long)statx_buffer.stx_size, statx_buffer.stx_nlink,
	       statx_buffer.stx_uid, (unsigned long long)statx_buffer.stx_blocks);
	SHOW(statfs(".", &fs));
	printf("statfs type %lx bsize %ld namelen %ld\n", (long)fs.f_type, (long)fs.f_bsize,
	       (long)fs.f_namelen);
	SHOW(fstatat(AT_FDCWD, "", &(struct stat){0}, 0));
	SHOW(fstatat(1, "", &(struct stat){0}, AT_EMPTY_PATH));
	SHOW(fstatat(AT_FDCWD, "file", &(struct stat){0}, 0x40000));
	SHOW(syscall(SYS_newfstatat, AT_FDCWD, "file", 16, AT_SYMLINK_NOFOLLOW));
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* The root of a guest has more in it than the directory that the test runs in. */
	mkdir("area", 0755);
	chdir("area");
	opening();
	transfers();
	names();
	times("file");
	show_stat("link");
	show_stat("directory");
	show_stat("directory/hard");
	show_stat("pipe");
	show_stat("missing");
	wide_stat();
	show_directory(".");
	show_directory("directory");
	return 0;
}
