/* Calls that change what a file is: permissions, owners, times, size; and statfs. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/inotify.h>
#include <file/permission.h>
#include <process/calls/at.h>

/* ---- Changes: each finds a file, changes it, and lets it go ---- */

typedef int64_t change(struct file *file, const void *argument);

static change change_size, put_statfs;

/* What watches are told of a change. */
static uint32_t event_of(change *change)
{
	return change == change_size ? IN_MODIFY : change == put_statfs ? 0 : IN_ATTRIB;
}

static int64_t change_at(int directory, user_t path, int flags, change *change,
			 const void *argument)
{
	struct file *file;
	int64_t result = at_find(directory, path, flags, &file);
	if (result != 0)
		return result;
	result = change(file, argument);
	if (result == 0)
		inotify_file(file, event_of(change));
	file_put(file);
	return result;
}

static int64_t change_open(int number, change *change, const void *argument)
{
	struct open_file *open = at_open_file(number);
	int64_t result = open == NULL ? -EBADF : change(open->file, argument);
	if (result == 0)
		inotify_open(open, event_of(change));
	return result;
}

/* Tell the file system of a change before it is made. */
static int announce(struct file *file, const struct file_change *change)
{
	return file->operations->change == NULL ? 0 : file->operations->change(file, change);
}

static int64_t change_mode(struct file *file, const void *argument)
{
	const uint32_t *mode = argument;
	uint32_t bits = permission_bits(file->group, *mode & S_IALLUGO);
	struct file_change change = {.what = FILE_CHANGE_MODE, .mode = bits};
	if (S_ISLNK(file->mode))
		return -EOPNOTSUPP;
	int error = permission_is_owner(file) ? announce(file, &change) : -EPERM;
	if (error != 0)
		return error;
	file->mode = (file->mode & S_IFMT) | bits;
	file_changed(file);
	return 0;
}

SYSCALL2(chmod, user_t, path, uint32_t, mode)
{
	return change_at(AT_FDCWD, path, 0, change_mode, &mode);
}

SYSCALL2(fchmod, int, number, uint32_t, mode)
{
	return change_open(number, change_mode, &mode);
}

SYSCALL3(fchmodat, int, directory, user_t, path, uint32_t, mode)
{
	return change_at(directory, path, 0, change_mode, &mode);
}

SYSCALL4(fchmodat2, int, directory, user_t, path, uint32_t, mode, int, flags)
{
	if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
		return -EINVAL;
	return change_at(directory, path, flags, change_mode, &mode);
}

struct owner {
	uint32_t user; /* NOBODY: stays */
	uint32_t group;
};

static int64_t change_owner(struct file *file, const void *argument)
{
	const struct owner *owner = argument;
	struct file_change change = {
		.what = (owner->user != NOBODY ? FILE_CHANGE_USER : 0) |
			(owner->group != NOBODY ? FILE_CHANGE_GROUP : 0),
		.user = owner->user,
		.group = owner->group,
	};
	int error = permission_to_give(file, owner->user, owner->group);
	if (error == 0)
		error = announce(file, &change);
	if (error != 0)
		return error;
	/* What a file may do for its owner does not pass on to the next one. */
	if (!S_ISDIR(file->mode)) {
		file->mode = permission_bits(file->group, file->mode & ~(uint32_t)S_ISUID);
		if ((file->mode & S_IXGRP) != 0)
			file->mode &= ~(uint32_t)S_ISGID;
	}
	if (owner->user != NOBODY)
		file->user = owner->user;
	if (owner->group != NOBODY)
		file->group = owner->group;
	file_changed(file);
	return 0;
}

SYSCALL3(chown, user_t, path, uint32_t, user, uint32_t, group)
{
	struct owner owner = {user, group};
	return change_at(AT_FDCWD, path, 0, change_owner, &owner);
}

SYSCALL3(lchown, user_t, path, uint32_t, user, uint32_t, group)
{
	struct owner owner = {user, group};
	return change_at(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, change_owner, &owner);
}

SYSCALL3(fchown, int, number, uint32_t, user, uint32_t, group)
{
	struct owner owner = {user, group};
	return change_open(number, change_owner, &owner);
}

SYSCALL5(fchownat, int, directory, user_t, path, uint32_t, user, uint32_t, group, int, flags)
{
	struct owner owner = {user, group};
	if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
		return -EINVAL;
	return change_at(directory, path, flags, change_owner, &owner);
}

/* ---- Times ---- */

/* Access and modification time; UTIME_NOW and UTIME_OMIT in tv_nsec as in utimensat(2). */
struct times {
	struct timespec of[2];
};

static const struct times times_now = {{{0, UTIME_NOW}, {0, UTIME_NOW}}};

static bool is_valid(const struct timespec *time)
{
	return time->tv_nsec == UTIME_NOW || time->tv_nsec == UTIME_OMIT ||
	       (time->tv_nsec >= 0 && time->tv_nsec < (int64_t)NANOSECONDS_PER_SECOND);
}

static void set_time(int64_t *field, const struct timespec *time, int64_t now)
{
	/* What 64 bits of nanoseconds can hold: the years 1678 to 2261. */
	const int64_t last = INT64_MAX / (int64_t)NANOSECONDS_PER_SECOND - 1;
	if (time->tv_nsec == UTIME_OMIT)
		return;
	int64_t second = time->tv_sec > last ? last : time->tv_sec < -last ? -last : time->tv_sec;
	*field = time->tv_nsec == UTIME_NOW
			 ? now
			 : second * (int64_t)NANOSECONDS_PER_SECOND + time->tv_nsec;
}

/* Only its owner may give a file a time of the past; who may write to it, that of now. */
static int check_times(const struct file *file, const struct times *times)
{
	bool now = times->of[0].tv_nsec == UTIME_NOW && times->of[1].tv_nsec == UTIME_NOW;
	if (permission_is_owner(file))
		return 0;
	return now ? permission_check(file, MAY_WRITE) : -EPERM;
}

static int64_t change_times(struct file *file, const void *argument)
{
	const struct times *times = argument;
	int64_t now = file_now();
	if (times->of[0].tv_nsec == UTIME_OMIT && times->of[1].tv_nsec == UTIME_OMIT)
		return 0;
	struct file_change change = {
		.what = (times->of[0].tv_nsec != UTIME_OMIT ? FILE_CHANGE_ACCESSED : 0) |
			(times->of[1].tv_nsec != UTIME_OMIT ? FILE_CHANGE_MODIFIED : 0),
		.accessed = file->accessed,
		.modified = file->modified,
	};
	set_time(&change.accessed, &times->of[0], now);
	set_time(&change.modified, &times->of[1], now);
	int error = check_times(file, times);
	if (error == 0)
		error = announce(file, &change);
	if (error != 0)
		return error;
	file->accessed = change.accessed;
	file->modified = change.modified;
	file->changed = now;
	return 0;
}

SYSCALL4(utimensat, int, directory, user_t, path, user_t, address, int, flags)
{
	struct times times = times_now;
	if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
		return -EINVAL;
	if (address != 0 && user_get(&times, address) != 0)
		return -EFAULT;
	if (!is_valid(&times.of[0]) || !is_valid(&times.of[1]))
		return -EINVAL;
	if (path == 0 && directory != AT_FDCWD)
		return change_open(directory, change_times, &times);
	return change_at(directory, path, flags, change_times, &times);
}

static int64_t change_times_micro(int directory, user_t path, user_t address)
{
	struct times times = times_now;
	struct timeval given[2];
	if (address != 0 && user_get(&given, address) != 0)
		return -EFAULT;
	for (unsigned i = 0; address != 0 && i < 2; i++) {
		if (given[i].tv_usec < 0 || given[i].tv_usec >= 1000000)
			return -EINVAL;
		times.of[i] = (struct timespec){
			given[i].tv_sec,
			given[i].tv_usec * NANOSECONDS_PER_MICROSECOND,
		};
	}
	return change_at(directory, path, 0, change_times, &times);
}

SYSCALL2(utimes, user_t, path, user_t, address)
{
	return change_times_micro(AT_FDCWD, path, address);
}

SYSCALL3(futimesat, int, directory, user_t, path, user_t, address)
{
	return change_times_micro(directory, path, address);
}

SYSCALL2(utime, user_t, path, user_t, address)
{
	struct times times = times_now;
	int64_t given[2];
	if (address != 0 && user_get(&given, address) != 0)
		return -EFAULT;
	for (unsigned i = 0; address != 0 && i < 2; i++)
		times.of[i] = (struct timespec){given[i], 0};
	return change_at(AT_FDCWD, path, 0, change_times, &times);
}

/* ---- Size ---- */

/* By path; a descriptor that may write is right enough. */

static int64_t change_size(struct file *file, const void *argument)
{
	const int64_t *size = argument;
	if (S_ISDIR(file->mode))
		return -EISDIR;
	if (!S_ISREG(file->mode))
		return -EINVAL;
	int error = permission_check(file, MAY_WRITE);
	return error != 0 ? error : file_resize(file, (uint64_t)*size);
}

SYSCALL2(truncate, user_t, path, int64_t, size)
{
	return size < 0 ? -EINVAL : change_at(AT_FDCWD, path, 0, change_size, &size);
}

SYSCALL2(ftruncate, int, number, int64_t, size)
{
	struct open_file *open = at_open_file(number);
	if (size < 0)
		return -EINVAL;
	if (open == NULL)
		return -EBADF;
	if (!S_ISREG(open->file->mode) || !open_file_writable(open))
		return -EINVAL;
	int error = file_resize(open->file, (uint64_t)size);
	if (error == 0)
		inotify_open(open, IN_MODIFY);
	return error;
}

SYSCALL4(fallocate, int, number, int, mode, int64_t, offset, int64_t, length)
{
	const int punch = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
	struct open_file *open = at_open_file(number);
	int64_t end;
	if (open == NULL)
		return -EBADF;
	if (offset < 0 || length <= 0)
		return -EINVAL;
	if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE && mode != punch)
		return -EOPNOTSUPP;
	if (!open_file_writable(open))
		return -EBADF;
	if (!S_ISREG(open->file->mode))
		return S_ISFIFO(open->file->mode) ? -ESPIPE
			: S_ISDIR(open->file->mode) ? -EISDIR
						    : -ENODEV;
	if (__builtin_add_overflow(offset, length, &end))
		return -EFBIG;
	if (mode == punch) {
		if (open->file->operations->punch == NULL)
			return -EOPNOTSUPP;
		return open->file->operations->punch(open->file, (uint64_t)offset,
						     (uint64_t)length);
	}
	/* Memory is not set aside: what is missing comes with the writes. */
	if (mode == 0 && (uint64_t)end > open->file->size)
		return file_resize(open->file, (uint64_t)end);
	return 0;
}

/* ---- statfs ---- */

static int64_t put_statfs(struct file *file, const void *argument)
{
	const user_t *buffer = argument;
	struct file_space space = {.block_size = PAGE_SIZE};
	int error = file->system->space == NULL ? 0 : file->system->space(file, &space);
	struct statfs statfs = {
		.f_type = (int64_t)file->system->magic,
		.f_bsize = (int64_t)space.block_size,
		.f_blocks = space.blocks,
		.f_bfree = space.free,
		.f_bavail = space.available,
		.f_files = space.files,
		.f_ffree = space.free_files,
		.f_fsid = {(int32_t)file->system->device, 0},
		.f_namelen = NAME_MAX,
		.f_frsize = (int64_t)space.block_size,
	};
	return error != 0 ? error : user_put(*buffer, &statfs);
}

SYSCALL2(statfs, user_t, path, user_t, buffer)
{
	return change_at(AT_FDCWD, path, 0, put_statfs, &buffer);
}

SYSCALL2(fstatfs, int, number, user_t, buffer)
{
	struct open_file *open = descriptor_find(&file_context()->descriptors, number);
	return open == NULL ? -EBADF : put_statfs(open->file, &buffer);
}
