/* open(2) and its kind. */
#include <file/inotify.h>
#include <file/permission.h>
#include <file/ramfs/ramfs.h>
#include <process/calls/at.h>
#include <process/calls/structure.h>

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
	return path_create(walk, &what, found);
}

/* O_TMPFILE: the path is of the directory in whose file system a file without a name is made. */
static int make_nameless(struct path_walk *walk, unsigned flags, uint32_t mode, struct file **made)
{
	struct creation what = {.mode = S_IFREG | (mode & S_IALLUGO)};
	struct file *directory;
	int error = path_last(walk, PATH_FOLLOW, &directory);
	if (error != 0)
		return error;
	error = S_ISDIR(directory->mode) ? permission_to_add(directory) : -ENOTDIR;
	if (error == 0 && directory->operations->create_nameless == NULL)
		error = -EOPNOTSUPP;
	permission_own_entry(directory, &what);
	what.mode &= ~file_context()->umask;
	if (error == 0)
		error = directory->operations->create_nameless(directory, &what, made);
	if (error == 0)
		(*made)->can_be_linked = (flags & O_EXCL) == 0;
	file_put(directory);
	return error;
}

static int open_walked(struct path_walk *walk, unsigned flags, uint32_t mode,
		       struct open_file **open)
{
	struct file *file;
	bool created = false;
	bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
	int error = nameless ? make_nameless(walk, flags, mode, &file)
			     : find_or_create(walk, flags, mode, &created, &file);
	if (error != 0)
		return error;
	/* Who makes a file may open it as it likes, whatever the mode it has given. */
	if (!created && !nameless)
		error = permission_to_open(file, flags);
	if (created)
		flags &= ~(unsigned)(O_CREAT | O_TRUNC);
	if (nameless)
		flags &= ~(unsigned)O_DIRECTORY;
	if (error == 0)
		error = open_file_make(file, flags, open);
	if (error == 0 && !nameless)
		(*open)->directory = file_get(walk->directory);
	if (error == 0)
		inotify_open(*open, IN_OPEN);
	if (error == 0 && (flags & O_TRUNC) != 0 && S_ISREG(file->mode))
		inotify_open(*open, IN_MODIFY);
	file_put(file);
	return error;
}

static int64_t open_at(int directory, user_t path, const struct open_how *how)
{
	struct descriptor_table *table = &file_context()->descriptors;
	unsigned flags = (unsigned)how->flags;
	if ((flags & O_PATH) != 0)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
	if (nameless ? (flags & O_ACCMODE) == O_RDONLY || (flags & O_CREAT) != 0
		     : (flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
		return -EINVAL;
	/* Nothing is to be made for which there is no descriptor. */
	int error = descriptor_check_room(table);
	if (error != 0)
		return error;
	struct at_walk at;
	error = at_begin_within(&at, directory, path, (unsigned)how->resolve);
	if (error != 0)
		return error;
	struct open_file *open;
	error = open_walked(&at.walk, flags | O_LARGEFILE, (uint32_t)how->mode, &open);
	at_end(&at);
	if (error != 0)
		return error;
	return descriptor_add(table, open, 0, (flags & O_CLOEXEC) != 0);
}

SYSCALL4(openat, int, directory, user_t, path, unsigned, flags, uint32_t, mode)
{
	struct open_how how = {.flags = flags, .mode = mode};
	return open_at(directory, path, &how);
}

SYSCALL3(open, user_t, path, unsigned, flags, uint32_t, mode)
{
	struct open_how how = {.flags = flags, .mode = mode};
	return open_at(AT_FDCWD, path, &how);
}

SYSCALL2(creat, user_t, path, uint32_t, mode)
{
	struct open_how how = {.flags = O_CREAT | O_WRONLY | O_TRUNC, .mode = mode};
	return open_at(AT_FDCWD, path, &how);
}

/* ---- openat2 ---- */

/* Of open(2). */
static const uint64_t flags_known =
	O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC |
	O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC |
	O_SYNC | O_PATH | O_TMPFILE;

/* All is in memory as if it were cached. */
#define RESOLVE_CACHED 0x20

static bool how_is_valid(const struct open_how *how)
{
	uint64_t flags = how->flags;
	bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
	bool path_only = (flags & O_PATH) != 0;
	const uint64_t with_path = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if ((flags & ~flags_known) != 0 || (path_only && (flags & ~with_path) != 0))
		return false;
	if ((how->mode & ~(uint64_t)S_IALLUGO) != 0 || (how->mode != 0 && !creates))
		return false;
	if ((how->resolve & ~(uint64_t)(PATH_RESOLVE_ALL | RESOLVE_CACHED)) != 0)
		return false;
	const uint64_t either = PATH_BENEATH | PATH_IN_ROOT;
	return (how->resolve & either) != either;
}

SYSCALL4(openat2, int, directory, user_t, path, user_t, address, uint64_t, size)
{
	struct open_how how;
	if (size < sizeof(how))
		return -EINVAL;
	int error = structure_get(&how, sizeof(how), address, size);
	if (error != 0)
		return error;
	if (!how_is_valid(&how))
		return -EINVAL;
	bool changes = (how.flags & (O_TRUNC | O_CREAT)) != 0 || (how.flags & O_TMPFILE) == O_TMPFILE;
	if ((how.resolve & RESOLVE_CACHED) != 0 && changes)
		return -EAGAIN;
	return open_at(directory, path, &how);
}

/* ---- memfd_create ---- */

#define MEMORY_NAME_MAX 249 /* without "memfd:" */

/* A file in memory without a name; what the program calls it is of no effect. Seals are not had. */
SYSCALL2(memfd_create, user_t, name, unsigned, flags)
{
	const unsigned known = MFD_CLOEXEC | MFD_NOEXEC_SEAL | MFD_EXEC;
	char text[MEMORY_NAME_MAX + 1];
	const unsigned either = MFD_NOEXEC_SEAL | MFD_EXEC;
	if ((flags & ~known) != 0 || (flags & either) == either)
		return -EINVAL;
	int64_t length = user_string(text, name, sizeof(text));
	if (length < 0)
		return length == -ENAMETOOLONG ? -EINVAL : length;
	uint32_t permissions = (flags & MFD_NOEXEC_SEAL) != 0 ? 0666 : 0777;
	struct creation what = {.mode = S_IFREG | permissions};
	struct file *file;
	int error = ramfs_create_nameless(NULL, &what, &file);
	if (error != 0)
		return error;
	permission_own(file);
	return descriptor_add_file(&file_context()->descriptors, file,
				   O_RDWR | O_LARGEFILE |
					   ((flags & MFD_CLOEXEC) != 0 ? O_CLOEXEC : 0));
}
