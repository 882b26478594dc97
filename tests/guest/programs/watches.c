/* inotify: what is told of files and directories. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "show.h"

static int fd;

/* All that waits, cookies by their order. */
static void show_events(const char *what)
{
	static char buffer[8192] __attribute__((aligned(8)));
	uint32_t cookies[8] = {0};
	int known = 1;
	long length = read(fd, buffer, sizeof(buffer));
	printf("%s\n", what);
	for (char *at = buffer; at < buffer + length;) {
		struct inotify_event *event = (void *)at;
		int cookie = 0;
		while (cookie < known && cookies[cookie] != event->cookie)
			cookie++;
		if (cookie == known)
			cookies[known++] = event->cookie;
		printf("  %d %#x %d %u %s\n", event->wd, event->mask, cookie, event->len,
		       event->len > 0 ? event->name : "");
		at += sizeof(*event) + event->len;
	}
}

#define DO(call)                   \
	do {                       \
		SHOW(call);        \
		show_events("->"); \
	} while (0)

static int make(const char *path)
{
	return close(open(path, O_RDWR | O_CREAT, 0644));
}

static long exchange(const char *one, const char *other)
{
	return syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, 2);
}

static void calls(void)
{
	int bytes;
	puts("-- calls");
	SHOW((fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)));
	SHOW(fcntl(fd, F_GETFL) == (O_RDONLY | O_NONBLOCK));
	SHOW(inotify_init1(1));
	SHOW(events(fd));
	SHOW(read(fd, &bytes, 4));
	SHOW(inotify_add_watch(fd, "absent", IN_ALL_EVENTS));
	SHOW(inotify_add_watch(fd, ".", 0));
	SHOW(inotify_add_watch(0, ".", IN_OPEN));
	SHOW(inotify_add_watch(99, ".", IN_OPEN));
	SHOW(inotify_rm_watch(fd, 1));
	SHOW(make("plain"));
	SHOW(inotify_add_watch(fd, "plain", IN_OPEN | IN_ONLYDIR));
	SHOW(inotify_add_watch(fd, "plain", IN_OPEN));
	SHOW(inotify_add_watch(fd, "plain", IN_OPEN | IN_MASK_CREATE));
	SHOW(inotify_add_watch(fd, "plain", IN_OPEN | IN_MASK_CREATE | IN_MASK_ADD));
	SHOW(inotify_add_watch(fd, "plain", IN_CLOSE | IN_MASK_ADD));
	SHOW(make("plain"));
	SHOW(events(fd));
	SHOW(ioctl(fd, FIONREAD, &bytes));
	SHOW(bytes);
	SHOW(read(fd, &bytes, 4));
	show_events("both");
	DO(inotify_rm_watch(fd, 1));
	SHOW(make("plain"));
	SHOW(events(fd));
	SHOW(inotify_add_watch(fd, "plain", IN_OPEN | IN_ONESHOT));
	DO(make("plain"));
	DO(make("plain"));
	close(fd);
}

static void files(void)
{
	char byte;
	puts("-- a file");
	fd = inotify_init1(IN_NONBLOCK);
	make("plain");
	SHOW(inotify_add_watch(fd, "plain", IN_ALL_EVENTS));
	int file;
	DO((file = open("plain", O_RDWR)) > 0);
	DO(write(file, "abc", 3));
	DO(write(file, "abc", 3));
	DO(pread(file, &byte, 1, 0));
	DO(pread(file, &byte, 0, 0));
	DO(ftruncate(file, 1));
	DO(fchmod(file, 0600));
	DO(close(dup(file)));
	DO(close(file));
	DO(truncate("plain", 0));
	DO(chmod("plain", 0644));
	DO(link("plain", "second"));
	DO(rename("second", "third"));
	DO(unlink("third"));
	DO(close(open("plain", O_RDONLY)));
	DO(close(open("plain", O_PATH)));
	DO(close(open("plain", O_WRONLY)));
	file = open("plain", O_RDONLY);
	show_events("opened");
	DO(unlink("plain"));
	DO(close(file));
	make("plain");
	SHOW(inotify_add_watch(fd, "plain", IN_ALL_EVENTS));
	make("over");
	DO(rename("over", "plain"));
	close(fd);
}

static void directories(void)
{
	char name[256];
	puts("-- a directory");
	fd = inotify_init1(IN_NONBLOCK);
	mkdir("watched", 0755);
	mkdir("other", 0755);
	SHOW(inotify_add_watch(fd, "watched", IN_ALL_EVENTS));
	int file;
	DO((file = open("watched/new", O_RDWR | O_CREAT, 0600)) > 0);
	DO(write(file, "x", 1));
	DO(fchmod(file, 0644));
	DO(close(file));
	DO(mkdir("watched/sub", 0755));
	DO(symlink("new", "watched/link"));
	DO(mkfifo("watched/fifo", 0600));
	DO(link("watched/new", "watched/hard"));
	DO(rename("watched/new", "watched/renamed"));
	DO(rename("watched/renamed", "other/away"));
	DO(rename("other/away", "watched/back"));
	DO(rename("watched/back", "watched/hard"));
	DO(unlink("watched/hard"));
	DO(rmdir("watched/sub"));
	DO(unlink("watched/link"));
	memset(name, 'n', 255);
	name[255] = '\0';
	chdir("watched");
	DO(make(name));
	DO(unlink(name));
	make("a");
	show_events("made");
	DO(close(open("a", O_RDWR)));
	DO(unlink("a"));
	chdir("..");
	unlink("watched/fifo");
	show_events("removed");
	SHOW(inotify_add_watch(fd, "other", IN_ALL_EVENTS));
	DO(exchange("other", "watched"));
	DO(rmdir("watched"));
	DO(rmdir("other"));
	close(fd);
}

static void *make_soon(void *argument)
{
	usleep(2000);
	make("later");
	return argument;
}

static void waits(void)
{
	struct inotify_event event[20];
	pthread_t thread;
	puts("-- waiting");
	fd = inotify_init();
	inotify_add_watch(fd, ".", IN_CREATE);
	pthread_create(&thread, NULL, make_soon, NULL);
	SHOW(read(fd, event, sizeof(event)));
	printf("%#x %s\n", event[0].mask, event[0].name);
	pthread_join(thread, NULL);
	close(fd);
}

int main(void)
{
	calls();
	files();
	directories();
	waits();
	return 0;
}
