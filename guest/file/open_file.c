/* Open files. */
#include <file/epoll.h>
#include <file/inotify.h>
#include <file/lock.h>
#include <file/open_file.h>
#include <file/poll.h>

/* Flags that only open() itself looks at. */
#define OPEN_ONLY (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)

bool open_file_readable(const struct open_file *open)
{
	return (open->flags & O_PATH) == 0 && (open->flags & O_ACCMODE) != O_WRONLY;
}

bool open_file_writable(const struct open_file *open)
{
	return (open->flags & O_PATH) == 0 && (open->flags & O_ACCMODE) != O_RDONLY;
}

static int check_type(const struct file *file, unsigned flags)
{
	if (S_ISDIR(file->mode)) {
		bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
		return writes || (flags & O_CREAT) != 0 ? -EISDIR : 0;
	}
	if ((flags & O_DIRECTORY) != 0)
		return -ENOTDIR;
	if (S_ISLNK(file->mode))
		return -ELOOP;
	/* Sockets, and what has no type at all, are not to be opened by a name. */
	return S_ISSOCK(file->mode) || (file->mode & S_IFMT) == 0 ? -ENXIO : 0;
}

static int prepare(struct file *file, unsigned flags)
{
	if ((flags & O_PATH) != 0)
		return (flags & O_DIRECTORY) != 0 && !S_ISDIR(file->mode) ? -ENOTDIR : 0;
	int error = check_type(file, flags);
	if (error == 0 && file->operations->open != NULL)
		error = file->operations->open(file, flags);
	if (error == 0 && (flags & O_TRUNC) != 0 && S_ISREG(file->mode))
		error = file_resize(file, 0);
	return error;
}

/* Undo what opening a file has done to it. */
static void close_file(struct file *file, unsigned flags)
{
	if ((flags & O_PATH) == 0 && file->operations->close != NULL)
		file->operations->close(file, flags);
}

int open_file_wrap(struct file *file, unsigned flags, struct open_file **made)
{
	struct open_file *open = kmalloc(sizeof(*open));
	if (open == NULL)
		return -ENOMEM;
	*open = (struct open_file){
		.file = file_get(file),
		.references = 1,
		.flags = flags & ~(unsigned)OPEN_ONLY,
	};
	if ((flags & O_PATH) != 0)
		open->flags = flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW);
	*made = open;
	return 0;
}

int open_file_make(struct file *file, unsigned flags, struct open_file **made)
{
	int error = prepare(file, flags);
	if (error != 0)
		return error;
	error = open_file_wrap(file, flags, made);
	if (error != 0)
		close_file(file, flags);
	return error;
}

void open_file_end(struct open_file *open)
{
	inotify_open(open, open_file_writable(open) ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
	if (open->watches != NULL)
		epoll_forget(open);
	if (open->lock != OPEN_FILE_UNLOCKED)
		lock_set(open, OPEN_FILE_UNLOCKED, false);
	close_file(open->file, open->flags);
	file_put(open->file);
	file_put(open->directory);
	kfree(open);
}

bool open_file_seekable(const struct open_file *open)
{
	uint32_t mode = open->file->mode;
	if (S_ISREG(mode) || S_ISDIR(mode))
		return true;
	/* A device that can wait for data, such as a terminal, is a stream. */
	return (S_ISCHR(mode) || S_ISBLK(mode)) && open->file->operations->poll == NULL;
}

/* Whether it can be transferred at the position alone; what cannot be transferred at all is another
 * error. */
static bool lacks_offsets(const struct open_file *open)
{
	return (open->flags & O_PATH) == 0 && !open_file_seekable(open);
}

/* Whether a transfer would pass the largest offset there is. */
static bool passes_end(uint64_t at, const struct io *io)
{
	return at + io->remaining > INT64_MAX;
}

int open_file_check_read(const struct open_file *open, const uint64_t *offset)
{
	if (offset != NULL && lacks_offsets(open))
		return -ESPIPE;
	if (!open_file_readable(open))
		return -EBADF;
	if (S_ISDIR(open->file->mode))
		return -EISDIR;
	return open->file->operations->read == NULL ? -EINVAL : 0;
}

int open_file_check_write(const struct open_file *open, const uint64_t *offset)
{
	if (offset != NULL && lacks_offsets(open))
		return -ESPIPE;
	if (!open_file_writable(open))
		return -EBADF;
	return open->file->operations->write == NULL ? -EINVAL : 0;
}

/* What was transferred counts more than what went wrong after it. */
static int64_t transferred(struct open_file *open, uint64_t before, const struct io *io, int error,
			   uint32_t event)
{
	uint64_t done = before - io->remaining;
	if (done == 0)
		return error;
	inotify_open(open, event);
	return (int64_t)done;
}

static int64_t read_at(struct open_file *open, struct io *io, uint64_t at)
{
	struct file *file = open->file;
	uint64_t before = io->remaining;
	if (unlikely(passes_end(at, io)))
		return -EINVAL;
	/* Sockets keep no access time, on Linux neither. */
	if ((open->flags & O_NOATIME) == 0 && !S_ISSOCK(file->mode))
		file_accessed(file);
	int error = file->operations->read(file, io, at, open->flags);
	return transferred(open, before, io, error, IN_ACCESS);
}

static int64_t write_at(struct open_file *open, struct io *io, uint64_t at)
{
	struct file *file = open->file;
	uint64_t before = io->remaining;
	int error = file->operations->write(file, io, at, open->flags);
	return transferred(open, before, io, error, IN_MODIFY);
}

int64_t open_file_read(struct open_file *open, struct io *io, const uint64_t *offset)
{
	int problem = open_file_check_read(open, offset);
	if (problem != 0)
		return problem;
	if (offset != NULL)
		return read_at(open, io, *offset);
	int64_t result = read_at(open, io, open->position);
	if (result > 0)
		open->position += (uint64_t)result;
	return result;
}

/* At an offset, or at the end. As on Linux, O_APPEND wins over the offset of pwrite. */
static __attribute__((noinline)) int64_t write_elsewhere(struct open_file *open, struct io *io,
							 const uint64_t *offset)
{
	int problem = open_file_check_write(open, offset);
	if (problem != 0)
		return problem;
	uint64_t at = offset != NULL ? *offset : open->position;
	if (passes_end(at, io))
		return -EINVAL;
	if ((open->flags & O_APPEND) != 0)
		at = open->file->size;
	int64_t result = write_at(open, io, at);
	if (offset == NULL && result > 0)
		open->position = at + (uint64_t)result;
	return result;
}

int64_t open_file_write(struct open_file *open, struct io *io, const uint64_t *offset)
{
	bool simple = offset == NULL && (open->flags & (O_PATH | O_APPEND)) == 0 &&
		      (open->flags & O_ACCMODE) != O_RDONLY && open->file->operations->write != NULL;
	uint64_t at = open->position;
	if (unlikely(!simple || passes_end(at, io)))
		return write_elsewhere(open, io, offset);
	int64_t result = write_at(open, io, at);
	if (result > 0)
		open->position = at + (uint64_t)result;
	return result;
}

static int64_t seek_extent(const struct file *file, int64_t offset, bool hole)
{
	if (offset < 0 || (uint64_t)offset >= file->size)
		return -ENXIO;
	if (file->operations->seek_extent == NULL)
		return hole ? (int64_t)file->size : offset;
	uint64_t found = file->operations->seek_extent((struct file *)file, (uint64_t)offset, hole);
	return found >= file->size && !hole ? -ENXIO : (int64_t)found;
}

int64_t open_file_seek(struct open_file *open, int64_t offset, int whence)
{
	if ((open->flags & O_PATH) != 0)
		return -EBADF;
	if (whence < SEEK_SET || whence > SEEK_HOLE)
		return -EINVAL;
	/* Linux lets anonymous files stay where they are. */
	if ((open->file->mode & S_IFMT) == 0)
		return 0;
	if (!open_file_seekable(open))
		return -ESPIPE;
	/* A device that has no stream has no position either. */
	if (S_ISCHR(open->file->mode))
		return 0;
	if (S_ISDIR(open->file->mode) && whence != SEEK_SET && whence != SEEK_CUR)
		return -EINVAL;
	int64_t position;
	bool overflow = false;
	switch (whence) {
	case SEEK_SET:
		position = offset;
		break;
	case SEEK_CUR:
		overflow = __builtin_add_overflow((int64_t)open->position, offset, &position);
		break;
	case SEEK_END:
		overflow = __builtin_add_overflow((int64_t)open->file->size, offset, &position);
		break;
	case SEEK_DATA:
	case SEEK_HOLE:
		position = seek_extent(open->file, offset, whence == SEEK_HOLE);
		if (position < 0)
			return position;
		break;
	default:
		return -EINVAL;
	}
	if (overflow || position < 0)
		return -EINVAL;
	open->position = (uint64_t)position;
	return position;
}

unsigned open_file_poll(const struct open_file *open)
{
	struct file *file = open->file;
	if ((open->flags & O_PATH) != 0)
		return POLLNVAL;
	if (file->operations->poll == NULL)
		return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
	return file->operations->poll(file, open->flags);
}
