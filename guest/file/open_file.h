/* Open files: what open() makes of a file. Shared by descriptors that dup() made of each other. */
#ifndef FILE_OPEN_FILE_H
#define FILE_OPEN_FILE_H

#include <file/file.h>
#include <file/io.h>
#include <uapi/fcntl.h>

enum open_file_lock { OPEN_FILE_UNLOCKED, OPEN_FILE_SHARED, OPEN_FILE_EXCLUSIVE };

struct open_file {
	struct file *file;
	struct file *directory; /* in which it was found, if it was; a reference */
	struct epoll_item *watches; /* of epoll instances, which end with it */
	uint32_t references;
	uint32_t flags;	   /* O_ACCMODE and status flags; F_GETFL shows them */
	enum open_file_lock lock; /* that it holds on the file (flock) */
	uint64_t position; /* in bytes; of a directory: what its file system makes of it */
};

/* The flags that F_SETFL may change. */
#define OPEN_FILE_SETTABLE (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)

/* Open a file that is at hand: its type against `flags` (EISDIR, ENOTDIR, ELOOP), its own
 * objections, truncation. The reference to `file` is the caller's as before. */
int open_file_make(struct file *file, unsigned flags, struct open_file **made);

/* The same of a file that was just made for this: no questions asked. */
int open_file_wrap(struct file *file, unsigned flags, struct open_file **made);

static inline struct open_file *open_file_get(struct open_file *open)
{
	open->references++;
	return open;
}

/* No reference is left. */
void open_file_end(struct open_file *open);

/* Give a reference back; NULL is allowed. */
static inline void open_file_put(struct open_file *open)
{
	if (open != NULL && --open->references == 0)
		open_file_end(open);
}

/* Whether it was opened for reading, for writing. */
bool open_file_readable(const struct open_file *open);
bool open_file_writable(const struct open_file *open);

/* Whether the file has a position: only regular files, directories and devices without a stream
 * behind them do. */
bool open_file_seekable(const struct open_file *open);

/* Transfer at the open file's position, which moves along, or at `offset` where that is not
 * NULL. Bytes transferred, or an error when there are none. */
int64_t open_file_read(struct open_file *open, struct io *io, const uint64_t *offset);
int64_t open_file_write(struct open_file *open, struct io *io, const uint64_t *offset);

/* Whether they can be asked for at all: 0, -ESPIPE, -EBADF, -EISDIR or -EINVAL. */
int open_file_check_read(const struct open_file *open, const uint64_t *offset);
int open_file_check_write(const struct open_file *open, const uint64_t *offset);

/* lseek: the new position. */
int64_t open_file_seek(struct open_file *open, int64_t offset, int whence);

/* POLL* events that hold now. */
unsigned open_file_poll(const struct open_file *open);

#endif
