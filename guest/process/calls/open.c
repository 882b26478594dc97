/* open(2) and its kind. */
#include <process/calls/at.h>

/* Walk to the file that is to be opened, and make it where O_CREAT allows. */
static int find_or_create(struct path_walk *walk, unsigned flags, uint32_t mode, bool *created,
			  struct file **found)
{
	bool exclusive = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
	bool follows = (flags & O_NOFOLLOW) == 0 && !exclusive;
	*created = false;
	if ((flags & O_CREAT) != 0 && walk->trailing_slash && path_last_is_name(walk))
		return -EISDIR;
	int error = path_last(walk, follows ? PATH_FOLLOW : 0, found);
	if (error == 0 && exclusive) {
		file_put(*found);
		return -EEXIST;
	}
	if (!walk->absent || (flags & O_CREAT) == 0)
		return error;
	/* The walk may have followed links to a directory that is not there. */
	if (walk->trailing_slash)
		return -EISDIR;
	struct creation what = {.mode = S_IFREG | (mode & S_IALLUGO)};
	*created = true;
	return at_create_here(walk, &what, found);
}

static int open_path(int directory, user_t path, unsigned flags, uint32_t mode,
		     struct open_file **open)
{
	struct at_walk at;
	int error = at_begin(&at, directory, path);
	if (error != 0)
		return error;
	struct file *file;
	bool created;
	error = find_or_create(&at.walk, flags, mode, &created, &file);
	at_end(&at);
	if (error != 0)
		return error;
	if (created)
		flags &= ~(unsigned)(O_CREAT | O_TRUNC);
	error = open_file_make(file, flags, open);
	file_put(file);
	return error;
}

static int64_t open_at(int directory, user_t path, unsigned flags, uint32_t mode)
{
	struct descriptor_table *table = &file_context()->descriptors;
	if ((flags & O_PATH) != 0)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
		return -EINVAL;
	/* Nothing is to be made for which there is no descriptor. */
	int error = descriptor_check_room(table);
	if (error != 0)
		return error;
	struct open_file *open;
	error = open_path(directory, path, flags | O_LARGEFILE, mode, &open);
	if (error != 0)
		return error;
	return descriptor_add(table, open, 0, (flags & O_CLOEXEC) != 0);
}

SYSCALL4(openat, int, directory, user_t, path, unsigned, flags, uint32_t, mode)
{
	return open_at(directory, path, flags, mode);
}

SYSCALL3(open, user_t, path, unsigned, flags, uint32_t, mode)
{
	return open_at(AT_FDCWD, path, flags, mode);
}

SYSCALL2(creat, user_t, path, uint32_t, mode)
{
	return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
