/* Calls that show what a file is: stat, access. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/permission.h>
#include <process/calls/at.h>
#include <process/credentials.h>

#define BLOCK_SIZE 4096 /* st_blksize */

/* ---- stat ---- */

static void refresh(struct file *file)
{
	if (file->operations->refresh != NULL)
		file->operations->refresh(file);
}

static int64_t put_stat(struct file *file, user_t buffer)
{
	struct stat stat = {0};
	refresh(file);
	stat.st_dev = file->system->device;
	stat.st_ino = file->number;
	stat.st_nlink = file->links;
	stat.st_mode = file->mode;
	stat.st_uid = file->user;
	stat.st_gid = file->group;
	stat.st_rdev = file->device;
	stat.st_size = (int64_t)file->size;
	stat.st_blksize = BLOCK_SIZE;
	stat.st_blocks = (int64_t)file->blocks;
	stat.st_atime = time_seconds(file->accessed);
	stat.st_atime_nsec = time_nanoseconds(file->accessed);
	stat.st_mtime = time_seconds(file->modified);
	stat.st_mtime_nsec = time_nanoseconds(file->modified);
	stat.st_ctime = time_seconds(file->changed);
	stat.st_ctime_nsec = time_nanoseconds(file->changed);
	return user_put(buffer, &stat);
}

static int64_t stat_at(int directory, user_t path, user_t buffer, int flags)
{
	if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT)) != 0)
		return -EINVAL;
	struct file *file;
	int64_t result = at_find(directory, path, flags, &file);
	if (result != 0)
		return result;
	result = put_stat(file, buffer);
	file_put(file);
	return result;
}

SYSCALL4(newfstatat, int, directory, user_t, path, user_t, buffer, int, flags)
{
	return stat_at(directory, path, buffer, flags);
}

SYSCALL2(stat, user_t, path, user_t, buffer)
{
	return stat_at(AT_FDCWD, path, buffer, 0);
}

SYSCALL2(lstat, user_t, path, user_t, buffer)
{
	return stat_at(AT_FDCWD, path, buffer, AT_SYMLINK_NOFOLLOW);
}

SYSCALL2(fstat, int, number, user_t, buffer)
{
	struct open_file *open = descriptor_find(&file_context()->descriptors, number);
	return open == NULL ? -EBADF : put_stat(open->file, buffer);
}

static struct statx_timestamp statx_time(int64_t time)
{
	return (struct statx_timestamp){time_seconds(time), (uint32_t)time_nanoseconds(time), 0};
}

static int64_t put_statx(struct file *file, user_t buffer)
{
	refresh(file);
	struct statx statx = {
		.stx_mask = STATX_BASIC_STATS | STATX_BTIME,
		.stx_blksize = BLOCK_SIZE,
		.stx_nlink = file->links,
		.stx_uid = file->user,
		.stx_gid = file->group,
		.stx_mode = (uint16_t)file->mode,
		.stx_ino = file->number,
		.stx_size = file->size,
		.stx_blocks = file->blocks,
		.stx_atime = statx_time(file->accessed),
		.stx_btime = statx_time(file->created),
		.stx_ctime = statx_time(file->changed),
		.stx_mtime = statx_time(file->modified),
		.stx_rdev_major = device_major(file->device),
		.stx_rdev_minor = device_minor(file->device),
		.stx_dev_major = device_major(file->system->device),
		.stx_dev_minor = device_minor(file->system->device),
	};
	return user_put(buffer, &statx);
}

SYSCALL5(statx, int, directory, user_t, path, int, flags, uint32_t, mask, user_t, buffer)
{
	const int known =
		AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
	if ((flags & ~known) != 0 || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE ||
	    (mask & STATX__RESERVED) != 0)
		return -EINVAL;
	struct file *file;
	int64_t result = at_find(directory, path, flags, &file);
	if (result != 0)
		return result;
	result = put_statx(file, buffer);
	file_put(file);
	return result;
}

/* ---- access ---- */

static int check_found(const struct file *file, int mode)
{
	bool content = S_ISREG(file->mode) || S_ISDIR(file->mode) || S_ISLNK(file->mode);
	if ((mode & W_OK) != 0 && content && file->system->read_only)
		return -EROFS;
	return permission_check(file, (unsigned)mode);
}

/* By default it is asked for those whom the process works for, on the way to the file, too. */
static int64_t check_access(int directory, user_t path, int mode, int flags)
{
	if ((mode & ~(R_OK | W_OK | X_OK)) != 0 ||
	    (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
		return -EINVAL;
	struct credentials own;
	if ((flags & AT_EACCESS) == 0)
		own = credentials_use_real();
	struct file *file;
	int error = at_find(directory, path, flags, &file);
	if (error == 0) {
		error = check_found(file, mode);
		file_put(file);
	}
	if ((flags & AT_EACCESS) == 0)
		credentials_put_back(&own);
	return error;
}

SYSCALL2(access, user_t, path, int, mode)
{
	return check_access(AT_FDCWD, path, mode, 0);
}

SYSCALL3(faccessat, int, directory, user_t, path, int, mode)
{
	return check_access(directory, path, mode, 0);
}

SYSCALL4(faccessat2, int, directory, user_t, path, int, mode, int, flags)
{
	return check_access(directory, path, mode, flags);
}
