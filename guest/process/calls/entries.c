/* Calls that make, remove and rename the entries of directories. */
#include <calypso/lib.h>
#include <file/inotify.h>
#include <file/permission.h>
#include <process/calls/at.h>

/* ---- Making ---- */

static int64_t make_directory(int directory, user_t path, uint32_t mode)
{
	struct creation what = {.mode = S_IFDIR | (mode & (S_ISVTX | 0777))};
	return at_create(directory, path, &what);
}

SYSCALL3(mkdirat, int, directory, user_t, path, uint32_t, mode)
{
	return make_directory(directory, path, mode);
}

SYSCALL2(mkdir, user_t, path, uint32_t, mode)
{
	return make_directory(AT_FDCWD, path, mode);
}

/* `device` as mknod(2) takes it: 32 bits, which are those of struct stat. */
static int64_t make_node(int directory, user_t path, uint32_t mode, uint32_t device)
{
	struct creation what = {.mode = mode & (S_IFMT | S_IALLUGO)};
	switch (mode & S_IFMT) {
	case 0:
		what.mode |= S_IFREG;
		break;
	case S_IFCHR:
	case S_IFBLK:
		what.device = device;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
	return at_create(directory, path, &what);
}

SYSCALL4(mknodat, int, directory, user_t, path, uint32_t, mode, uint32_t, device)
{
	return make_node(directory, path, mode, device);
}

SYSCALL3(mknod, user_t, path, uint32_t, mode, uint32_t, device)
{
	return make_node(AT_FDCWD, path, mode, device);
}

static int64_t make_symlink(user_t target_address, int directory, user_t path)
{
	char *target;
	int error = at_copy_path(target_address, &target);
	if (error != 0)
		return error;
	struct creation what = {
		.mode = S_IFLNK | 0777,
		.target = target,
		.target_length = strlen(target),
	};
	error = what.target_length == 0 ? -ENOENT : at_create(directory, path, &what);
	kfree(target);
	return error;
}

SYSCALL3(symlinkat, user_t, target, int, directory, user_t, path)
{
	return make_symlink(target, directory, path);
}

SYSCALL2(symlink, user_t, target, user_t, path)
{
	return make_symlink(target, AT_FDCWD, path);
}

/* The entry that a walk ended at must not be there; `file` gets that name. */
static int link_here(struct path_walk *walk, struct file *file)
{
	struct file *old;
	struct file *directory = walk->directory;
	int error = path_last(walk, PATH_ENTRY, &old);
	if (error == 0)
		file_put(old);
	if (error != -ENOENT)
		return error == 0 ? -EEXIST : error;
	if (walk->trailing_slash || directory->links == 0)
		return -ENOENT;
	if (directory->system != file->system)
		return -EXDEV;
	error = permission_to_add(directory);
	if (error != 0)
		return error;
	if (S_ISDIR(file->mode) || directory->operations->link == NULL)
		return -EPERM;
	if (file->links == 0 && !file->can_be_linked)
		return -ENOENT;
	error = directory->operations->link(directory, walk->last, file);
	if (error == 0) {
		inotify_file(file, IN_ATTRIB);
		inotify_entry(directory, walk->last, file->mode, IN_CREATE);
	}
	return error;
}

static int64_t make_link(int from, user_t from_path, int to, user_t to_path, int flags)
{
	if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0)
		return -EINVAL;
	int find_flags = flags & AT_EMPTY_PATH;
	if ((flags & AT_SYMLINK_FOLLOW) == 0)
		find_flags |= AT_SYMLINK_NOFOLLOW;
	struct file *file;
	int error = at_find(from, from_path, find_flags, &file);
	if (error != 0)
		return error;
	struct at_walk at;
	error = at_begin(&at, to, to_path);
	if (error == 0) {
		error = link_here(&at.walk, file);
		at_end(&at);
	}
	file_put(file);
	return error;
}

SYSCALL5(linkat, int, from, user_t, from_path, int, to, user_t, to_path, int, flags)
{
	return make_link(from, from_path, to, to_path, flags);
}

SYSCALL2(link, user_t, from_path, user_t, to_path)
{
	return make_link(AT_FDCWD, from_path, AT_FDCWD, to_path, 0);
}

static int64_t read_link(int directory, user_t path, user_t buffer, int size)
{
	if (size <= 0)
		return -EINVAL;
	struct file *file;
	int error = at_find(directory, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &file);
	if (error != 0)
		return error;
	char *target = kmalloc(PATH_MAX);
	int64_t length = target == NULL ? -ENOMEM : at_path_is_empty(path) ? -ENOENT : -EINVAL;
	if (target != NULL && S_ISLNK(file->mode))
		length = file->operations->target(file, target,
						  size < PATH_MAX ? (size_t)size : PATH_MAX);
	if (length > 0 && user_copy_out(buffer, target, (size_t)length) != 0)
		length = -EFAULT;
	kfree(target);
	file_put(file);
	return length;
}

SYSCALL4(readlinkat, int, directory, user_t, path, user_t, buffer, int, size)
{
	return read_link(directory, path, buffer, size);
}

SYSCALL3(readlink, user_t, path, user_t, buffer, int, size)
{
	return read_link(AT_FDCWD, path, buffer, size);
}

/* ---- Removing ---- */

/* Why a last component that is not a name cannot be removed: "", "." or "..". */
static int not_removable(struct name last, bool directory)
{
	if (!directory)
		return -EISDIR;
	if (last.length == 0)
		return -EBUSY;
	return name_is(last, ".") ? -EINVAL : -ENOTEMPTY;
}

static int check_removal(const struct path_walk *walk, const struct file *file, bool directory)
{
	if (!directory && walk->trailing_slash)
		return S_ISDIR(file->mode) ? -EISDIR : -ENOTDIR;
	int error = permission_to_remove(walk->directory, file);
	if (error != 0)
		return error;
	if (directory && !S_ISDIR(file->mode))
		return -ENOTDIR;
	if (!directory && S_ISDIR(file->mode))
		return -EISDIR;
	if (path_is_mounted(file))
		return -EBUSY;
	return walk->directory->operations->unlink == NULL ? -EPERM : 0;
}

static int64_t remove_entry(int directory, user_t path, bool is_directory)
{
	struct at_walk at;
	int error = at_begin(&at, directory, path);
	if (error != 0)
		return error;
	struct path_walk *walk = &at.walk;
	struct file *file = NULL;
	error = path_last_is_name(walk) ? path_last(walk, PATH_ENTRY, &file)
					: not_removable(walk->last, is_directory);
	if (error == 0)
		error = check_removal(walk, file, is_directory);
	if (error == 0)
		error = walk->directory->operations->unlink(walk->directory, walk->last, file);
	uint32_t mode = error == 0 ? file->mode : 0;
	if (error == 0 && !is_directory)
		inotify_file(file, IN_ATTRIB);
	file_put(file);
	if (error == 0)
		inotify_entry(walk->directory, walk->last, mode, IN_DELETE);
	at_end(&at);
	return error;
}

SYSCALL3(unlinkat, int, directory, user_t, path, int, flags)
{
	if ((flags & ~AT_REMOVEDIR) != 0)
		return -EINVAL;
	return remove_entry(directory, path, (flags & AT_REMOVEDIR) != 0);
}

SYSCALL1(unlink, user_t, path)
{
	return remove_entry(AT_FDCWD, path, false);
}

SYSCALL1(rmdir, user_t, path)
{
	return remove_entry(AT_FDCWD, path, true);
}

/* ---- Renaming ---- */

/* Both ends of a renaming, the entries found. */
struct renaming {
	struct path_walk *from;
	struct path_walk *to;
	struct file *file;
	struct file *replaced; /* NULL: the name is free */
	bool exchange;
};

/* Whether `directory` is `file` or lies below it. */
static bool is_within(const struct file *directory, const struct file *file)
{
	while (directory != file && directory->parent != directory)
		directory = directory->parent;
	return directory == file;
}

/* A directory that gets another parent is written to: its ".." changes. */
static int check_move(const struct renaming *renaming, const struct file *file)
{
	bool moves = renaming->from->directory != renaming->to->directory;
	if (!permissions_matter || !moves || file == NULL || !S_ISDIR(file->mode))
		return 0;
	return permission_check(file, MAY_WRITE);
}

static int check_rights(const struct renaming *renaming)
{
	const struct file *to = renaming->to->directory, *replaced = renaming->replaced;
	int error = permission_to_remove(renaming->from->directory, renaming->file);
	if (error == 0)
		error = replaced == NULL ? permission_to_add(to)
					 : permission_to_remove(to, replaced);
	if (error == 0)
		error = check_move(renaming, renaming->file);
	return error == 0 && renaming->exchange ? check_move(renaming, replaced) : error;
}

/* The order is Linux's, so that of several errors the same one is told. */
static int check_renaming(const struct renaming *renaming)
{
	const struct file *file = renaming->file;
	const struct file *replaced = renaming->replaced;
	bool both = renaming->exchange;
	if (!S_ISDIR(file->mode) && renaming->from->trailing_slash)
		return -ENOTDIR;
	const struct file *takes_new_name = both ? replaced : file;
	if (!S_ISDIR(takes_new_name->mode) && renaming->to->trailing_slash)
		return -ENOTDIR;
	if (S_ISDIR(file->mode) && is_within(renaming->to->directory, file))
		return -EINVAL;
	if (replaced != NULL && S_ISDIR(replaced->mode) &&
	    is_within(renaming->from->directory, replaced))
		return both ? -EINVAL : -ENOTEMPTY;
	if (file == replaced)
		return 0;
	int error = check_rights(renaming);
	if (error != 0)
		return error;
	if (replaced != NULL && !both && S_ISDIR(file->mode) != S_ISDIR(replaced->mode))
		return S_ISDIR(file->mode) ? -ENOTDIR : -EISDIR;
	if (path_is_mounted(file) || (replaced != NULL && path_is_mounted(replaced)))
		return -EBUSY;
	if (renaming->to->directory->links == 0)
		return -ENOENT;
	return renaming->from->directory->operations->rename == NULL ? -EPERM : 0;
}

static void tell_renaming(const struct renaming *renaming)
{
	const struct path_walk *from = renaming->from, *to = renaming->to;
	struct file *file = renaming->file, *replaced = renaming->replaced;
	inotify_renaming(from->directory, from->last, to->directory, to->last, file);
	if (replaced != NULL && !renaming->exchange && !S_ISDIR(replaced->mode))
		inotify_file(replaced, IN_ATTRIB);
	inotify_file(file, IN_MOVE_SELF);
	if (!renaming->exchange)
		return;
	inotify_renaming(to->directory, to->last, from->directory, from->last, replaced);
	inotify_file(replaced, IN_MOVE_SELF);
}

static int rename_found(const struct renaming *renaming)
{
	struct file *from = renaming->from->directory;
	struct file *to = renaming->to->directory;
	int error = check_renaming(renaming);
	if (error != 0 || renaming->file == renaming->replaced)
		return error;
	error = from->operations->rename(from, renaming->from->last, renaming->file, to,
					 renaming->to->last, renaming->replaced, renaming->exchange);
	if (error == 0)
		tell_renaming(renaming);
	return error;
}

static int rename_walked(struct path_walk *from, struct path_walk *to, unsigned flags)
{
	struct renaming renaming = {from, to, NULL, NULL, (flags & RENAME_EXCHANGE) != 0};
	if (from->directory->system != to->directory->system)
		return -EXDEV;
	if (!path_last_is_name(from))
		return -EBUSY;
	if (!path_last_is_name(to))
		return (flags & RENAME_NOREPLACE) != 0 ? -EEXIST : -EBUSY;
	int error = path_last(from, PATH_ENTRY, &renaming.file);
	if (error != 0)
		return error;
	error = path_last(to, PATH_ENTRY, &renaming.replaced);
	if (error == 0 && (flags & RENAME_NOREPLACE) != 0)
		error = -EEXIST;
	else if (error == 0 || (error == -ENOENT && !renaming.exchange))
		error = rename_found(&renaming);
	file_put(renaming.file);
	file_put(renaming.replaced);
	return error;
}

static int64_t rename_at(int from, user_t from_path, int to, user_t to_path, unsigned flags)
{
	if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0 ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	struct at_walk source, target;
	int error = at_begin(&source, from, from_path);
	if (error != 0)
		return error;
	error = at_begin(&target, to, to_path);
	if (error == 0) {
		error = rename_walked(&source.walk, &target.walk, flags);
		at_end(&target);
	}
	at_end(&source);
	return error;
}

SYSCALL5(renameat2, int, from, user_t, from_path, int, to, user_t, to_path, unsigned, flags)
{
	return rename_at(from, from_path, to, to_path, flags);
}

SYSCALL4(renameat, int, from, user_t, from_path, int, to, user_t, to_path)
{
	return rename_at(from, from_path, to, to_path, 0);
}

SYSCALL2(rename, user_t, from_path, user_t, to_path)
{
	return rename_at(AT_FDCWD, from_path, AT_FDCWD, to_path, 0);
}
