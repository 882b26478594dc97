/* From the program's arguments to files. */
#include <calypso/lib.h>
#include <process/calls/at.h>

int at_copy_path(user_t address, char **path)
{
	char *buffer = kmalloc(PATH_MAX);
	if (buffer == NULL)
		return -ENOMEM;
	int64_t length = user_string(buffer, address, PATH_MAX);
	if (length < 0) {
		kfree(buffer);
		return (int)length;
	}
	*path = buffer;
	return 0;
}

/* Where a relative path starts; NULL: the working directory. */
static int find_start(int directory, const char *path, unsigned resolve, struct file **start)
{
	*start = NULL;
	bool absolute = path[0] == '/' && (resolve & PATH_IN_ROOT) == 0;
	if (directory == AT_FDCWD || absolute)
		return 0;
	struct open_file *open = descriptor_find(&file_context()->descriptors, directory);
	if (open == NULL)
		return -EBADF;
	if (!S_ISDIR(open->file->mode))
		return -ENOTDIR;
	*start = open->file;
	return 0;
}

int at_begin(struct at_walk *at, int directory, user_t path)
{
	return at_begin_within(at, directory, path, 0);
}

int at_begin_within(struct at_walk *at, int directory, user_t path, unsigned resolve)
{
	int error = at_copy_path(path, &at->path);
	if (error != 0)
		return error;
	struct file *start;
	error = at->path[0] == '\0' ? -ENOENT : find_start(directory, at->path, resolve, &start);
	if (error == 0)
		error = path_begin_within(&at->walk, file_context(), start, at->path, resolve);
	if (error != 0)
		kfree(at->path);
	return error;
}

void at_end(struct at_walk *at)
{
	path_end(&at->walk);
	kfree(at->path);
}

/* AT_EMPTY_PATH with an empty path: the descriptor's own file. */
static int find_own(int directory, struct file **found)
{
	struct file_context *context = file_context();
	if (directory == AT_FDCWD) {
		struct file *working = context_working(context);
		if (working == NULL)
			return -ENOMEM;
		*found = file_get(working);
		return 0;
	}
	struct open_file *open = descriptor_find(&context->descriptors, directory);
	if (open == NULL)
		return -EBADF;
	*found = file_get(open->file);
	return 0;
}

bool at_path_is_empty(user_t path)
{
	char first;
	return path == 0 || (user_get(&first, path) == 0 && first == '\0');
}

int at_find(int directory, user_t path, int flags, struct file **found)
{
	if ((flags & AT_EMPTY_PATH) != 0 && at_path_is_empty(path))
		return find_own(directory, found);
	struct at_walk at;
	int error = at_begin(&at, directory, path);
	if (error != 0)
		return error;
	error = path_last(&at.walk, (flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : PATH_FOLLOW, found);
	at_end(&at);
	return error;
}

struct open_file *at_open_file(int number)
{
	struct open_file *open = descriptor_find(&file_context()->descriptors, number);
	return open == NULL || (open->flags & O_PATH) != 0 ? NULL : open;
}

int at_create(int directory, user_t path, struct creation *what)
{
	struct at_walk at;
	int error = at_begin(&at, directory, path);
	if (error != 0)
		return error;
	struct file *file;
	error = path_last(&at.walk, PATH_ENTRY, &file);
	if (error == 0)
		error = -EEXIST;
	else if (at.walk.absent && (!at.walk.trailing_slash || S_ISDIR(what->mode)))
		error = path_create(&at.walk, what, &file);
	if (error == 0 || error == -EEXIST)
		file_put(file);
	at_end(&at);
	return error;
}
