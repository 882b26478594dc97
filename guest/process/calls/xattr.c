/* Calls on extended attributes (xattr(7)). No file system has any, and programs are told so as on
 * Linux: getting and setting them is not supported, lists of them are empty. What comes first, in
 * Linux's order, are the arguments, then the file, then who may.
 */
#include <calypso/lib.h>
#include <file/permission.h>
#include <process/calls/at.h>

enum { XATTR_NAME_MAX = 255, XATTR_SIZE_MAX = 65536 };
enum { XATTR_CREATE = 1, XATTR_REPLACE = 2 };

/* The file that a call means. */
struct where {
	enum { BY_PATH, BY_LINK, BY_NUMBER } how;
	user_t path;
	int number;
};

static struct where at_path(user_t path) { return (struct where){BY_PATH, path, 0}; }

static struct where at_link(user_t path) { return (struct where){BY_LINK, path, 0}; }

static struct where at_number(int number) { return (struct where){BY_NUMBER, 0, number}; }

static int find(const struct where *where, struct file **found)
{
	int flags = where->how == BY_LINK ? AT_SYMLINK_NOFOLLOW : 0;
	if (where->how != BY_NUMBER)
		return at_find(AT_FDCWD, where->path, flags, found);
	struct open_file *open = at_open_file(where->number);
	if (open == NULL)
		return -EBADF;
	*found = file_get(open->file);
	return 0;
}

static int copy_name(char name[XATTR_NAME_MAX + 1], user_t address)
{
	int64_t length = user_string(name, address, XATTR_NAME_MAX + 1);
	if (length == -EFAULT)
		return -EFAULT;
	return length <= 0 ? -ERANGE : 0;
}

static bool begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

/* Whether the running thread may read or write (enum permission) an attribute, if it were there. */
static int check(const struct file *file, const char *name, unsigned wanted)
{
	int refused = wanted == MAY_WRITE ? -EPERM : -ENODATA;
	if (begins(name, "security.") || begins(name, "system."))
		return 0;
	if (begins(name, "trusted."))
		return is_superuser() ? 0 : refused;
	if (begins(name, "user.") && !S_ISREG(file->mode) && !S_ISDIR(file->mode))
		return refused;
	return permission_check(file, wanted);
}

/* To get, or to change, the attribute of a name. */
static int64_t access_attribute(struct where where, user_t name_address, unsigned wanted)
{
	char name[XATTR_NAME_MAX + 1];
	struct file *file;
	int error = copy_name(name, name_address);
	if (error == 0)
		error = find(&where, &file);
	if (error != 0)
		return error;
	if (wanted == MAY_WRITE && file->system->read_only)
		error = -EROFS;
	else
		error = check(file, name, wanted);
	file_put(file);
	return error != 0 ? error : -EOPNOTSUPP;
}

static int64_t set(struct where where, user_t name, uint64_t size, int flags)
{
	if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0)
		return -EINVAL;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	return access_attribute(where, name, MAY_WRITE);
}

static int64_t list(struct where where)
{
	struct file *file;
	int error = find(&where, &file);
	if (error == 0)
		file_put(file);
	return error;
}

SYSCALL5(setxattr, user_t, path, user_t, name, user_t, value, uint64_t, size, int, flags)
{
	(void)value;
	return set(at_path(path), name, size, flags);
}

SYSCALL5(lsetxattr, user_t, path, user_t, name, user_t, value, uint64_t, size, int, flags)
{
	(void)value;
	return set(at_link(path), name, size, flags);
}

SYSCALL5(fsetxattr, int, number, user_t, name, user_t, value, uint64_t, size, int, flags)
{
	(void)value;
	return set(at_number(number), name, size, flags);
}

SYSCALL4(getxattr, user_t, path, user_t, name, user_t, value, uint64_t, size)
{
	(void)value, (void)size;
	return access_attribute(at_path(path), name, MAY_READ);
}

SYSCALL4(lgetxattr, user_t, path, user_t, name, user_t, value, uint64_t, size)
{
	(void)value, (void)size;
	return access_attribute(at_link(path), name, MAY_READ);
}

SYSCALL4(fgetxattr, int, number, user_t, name, user_t, value, uint64_t, size)
{
	(void)value, (void)size;
	return access_attribute(at_number(number), name, MAY_READ);
}

SYSCALL3(listxattr, user_t, path, user_t, names, uint64_t, size)
{
	(void)names, (void)size;
	return list(at_path(path));
}

SYSCALL3(llistxattr, user_t, path, user_t, names, uint64_t, size)
{
	(void)names, (void)size;
	return list(at_link(path));
}

SYSCALL3(flistxattr, int, number, user_t, names, uint64_t, size)
{
	(void)names, (void)size;
	return list(at_number(number));
}

SYSCALL2(removexattr, user_t, path, user_t, name)
{
	return access_attribute(at_path(path), name, MAY_WRITE);
}

SYSCALL2(lremovexattr, user_t, path, user_t, name)
{
	return access_attribute(at_link(path), name, MAY_WRITE);
}

SYSCALL2(fremovexattr, int, number, user_t, name)
{
	return access_attribute(at_number(number), name, MAY_WRITE);
}
