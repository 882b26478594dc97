/* Calls that read directories and change the working one. */
#include <calypso/lib.h>
#include <file/inotify.h>
#include <file/permission.h>
#include <process/calls/at.h>

/* ---- getdents64 ---- */

/* Positions of a directory as programs see them: "." at 0, ".." at 1, and from 2 on those of the
 * file system, moved up by 2. */
enum position { POSITION_OF_SELF, POSITION_OF_PARENT, POSITION_OF_ENTRIES };

struct dirent_sink {
	struct entry_sink sink;
	user_t at;
	uint64_t room;
	uint64_t position; /* behind the last entry stored */
	int error; /* why it takes no more: -EINVAL is a lack of room */
};

static bool store_entry(struct dirent_sink *out, struct name name, uint64_t number, uint32_t mode,
			uint64_t next)
{
	union {
		struct linux_dirent64 entry;
		char bytes[sizeof(struct linux_dirent64) + NAME_MAX + 1 + 7];
	} record;
	size_t used = offsetof(struct linux_dirent64, d_name) + name.length + 1;
	size_t length = ALIGN_UP(used, 8);
	out->error = length > out->room ? -EINVAL : 0;
	if (out->error != 0)
		return false;
	memset(&record.entry, 0, length);
	record.entry.d_ino = number;
	record.entry.d_off = (int64_t)next;
	record.entry.d_reclen = (uint16_t)length;
	record.entry.d_type = DT_OF_MODE(mode);
	memcpy(record.bytes + offsetof(struct linux_dirent64, d_name), name.bytes, name.length);
	out->error = user_copy_out(out->at, &record, length);
	if (out->error != 0)
		return false;
	out->at += length;
	out->room -= length;
	out->position = next;
	return true;
}

static bool put_entry(struct entry_sink *sink, struct name name, const struct file *file,
		      uint64_t next)
{
	struct dirent_sink *out = container_of(sink, struct dirent_sink, sink);
	return store_entry(out, name, file->number, file->mode, next + POSITION_OF_ENTRIES);
}

static bool put_dots(struct dirent_sink *out, const struct file *directory)
{
	static const struct name self = {".", 1}, parent = {"..", 2};
	if (out->position == POSITION_OF_SELF &&
	    !store_entry(out, self, directory->number, S_IFDIR, POSITION_OF_PARENT))
		return false;
	return out->position != POSITION_OF_PARENT ||
	       store_entry(out, parent, directory->parent->number, S_IFDIR, POSITION_OF_ENTRIES);
}

SYSCALL3(getdents64, int, number, user_t, buffer, uint32_t, size)
{
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	struct file *directory = open->file;
	if (!S_ISDIR(directory->mode))
		return -ENOTDIR;
	if (directory->links == 0)
		return -ENOENT;
	struct dirent_sink out = {
		.sink.put = put_entry,
		.at = buffer,
		.room = size,
		.position = open->position,
	};
	int error = 0;
	if (put_dots(&out, directory))
		error = directory->operations->entries(
			directory, out.position - POSITION_OF_ENTRIES, &out.sink);
	open->position = out.position;
	file_accessed(directory);
	inotify_open(open, IN_ACCESS);
	if (out.room < size)
		return size - out.room;
	return error != 0 ? error : out.error;
}

/* ---- Working directory, root, umask ---- */

SYSCALL2(getcwd, user_t, buffer, uint64_t, size)
{
	struct file_context *context = file_context();
	struct file *working = context_working(context);
	char *path = kmalloc(PATH_MAX);
	if (working == NULL || path == NULL) {
		kfree(path);
		return -ENOMEM;
	}
	int64_t length = path_of(context, working, path, PATH_MAX);
	if (length > 0 && (uint64_t)length > size)
		length = -ERANGE;
	if (length > 0 && user_copy_out(buffer, path, (size_t)length) != 0)
		length = -EFAULT;
	kfree(path);
	return length;
}

/* Keep a directory, with the caller's reference, in a field of the context: the root is the
 * superuser's to change. */
static int64_t enter(struct file **field, struct file *directory)
{
	int error = S_ISDIR(directory->mode) ? permission_to_search(directory) : -ENOTDIR;
	if (error == 0 && field == &file_context()->root && !is_superuser())
		error = -EPERM;
	if (error != 0) {
		file_put(directory);
		return error;
	}
	file_put(*field);
	*field = directory;
	return 0;
}

static int64_t enter_path(struct file **field, user_t path)
{
	struct file *directory;
	int error = at_find(AT_FDCWD, path, 0, &directory);
	return error != 0 ? error : enter(field, directory);
}

SYSCALL1(chdir, user_t, path)
{
	return enter_path(&file_context()->working, path);
}

SYSCALL1(fchdir, int, number)
{
	struct open_file *open = descriptor_find(&file_context()->descriptors, number);
	return open == NULL ? -EBADF : enter(&file_context()->working, file_get(open->file));
}

SYSCALL1(chroot, user_t, path)
{
	struct file_context *context = file_context();
	/* The working directory stays where it is, also when it was the root so far. */
	if (context->working == NULL && context_root(context) != NULL)
		context->working = file_get(context_root(context));
	return enter_path(&context->root, path);
}

SYSCALL1(umask, uint32_t, mask)
{
	uint32_t old = file_context()->umask;
	file_context()->umask = mask & 0777;
	return old;
}
