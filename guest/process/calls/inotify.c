/* inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2). */
#include <file/inotify.h>
#include <process/calls/at.h>

static int64_t make_inotify(unsigned flags)
{
	if ((flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK)) != 0)
		return -EINVAL;
	struct file *file = inotify_make();
	if (file == NULL)
		return -ENOMEM;
	return descriptor_add_file(&file_context()->descriptors, file, O_RDONLY | flags);
}

SYSCALL1(inotify_init1, unsigned, flags)
{
	return make_inotify(flags);
}

SYSCALL0(inotify_init)
{
	return make_inotify(0);
}

/* The instance of a descriptor: 0, -EBADF, or -EINVAL. */
static int find(int number, struct inotify **inotify)
{
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	*inotify = inotify_of(open->file);
	return *inotify == NULL ? -EINVAL : 0;
}

SYSCALL3(inotify_add_watch, int, number, user_t, path, uint32_t, mask)
{
	const uint32_t either = IN_MASK_ADD | IN_MASK_CREATE;
	const uint32_t known = IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK |
			       either | IN_ISDIR | IN_ONESHOT | IN_IGNORED | IN_Q_OVERFLOW |
			       0x2000; /* IN_UNMOUNT */
	struct inotify *inotify;
	if ((mask & known) == 0)
		return -EINVAL;
	int error = at_open_file(number) == NULL ? -EBADF : 0;
	if (error == 0 && (mask & either) == either)
		error = -EINVAL;
	if (error == 0)
		error = find(number, &inotify);
	struct file *file;
	if (error == 0)
		error = at_find(AT_FDCWD, path,
				(mask & IN_DONT_FOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0, &file);
	if (error != 0)
		return error;
	if ((mask & IN_ONLYDIR) != 0 && !S_ISDIR(file->mode))
		error = -ENOTDIR;
	else
		error = inotify_add(inotify, file, mask);
	file_put(file);
	return error;
}

SYSCALL2(inotify_rm_watch, int, number, int, watch)
{
	struct inotify *inotify;
	int error = find(number, &inotify);
	return error != 0 ? error : inotify_remove(inotify, watch);
}
