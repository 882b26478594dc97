/* Files that calls make and no path leads to: eventfd, timerfd, signalfd, epoll. */
#ifndef FILE_ANONYMOUS_H
#define FILE_ANONYMOUS_H

#include <file/file.h>
#include <file/poll.h>

#define ANONYMOUS_DEVICE 5
#define ANONYMOUS_MODE 0600 /* as on Linux they are of no type */

/* The file system of one kind of them. */
#define ANONYMOUS_FILE_SYSTEM(kind, function)                                       \
	{                                                                           \
		.name = "anon_inodefs", .label = "anon_inode:" kind,                \
		.device = ANONYMOUS_DEVICE, .magic = ANON_INODE_FS_MAGIC,           \
		.release = (function),                                              \
	}

#endif
