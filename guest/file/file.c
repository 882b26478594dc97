/* Files: references and times. */
#include <calypso/bootinfo.h>
#include <calypso/time.h>
#include <file/inotify.h>
#include <file/permission.h>

#define DAY (24 * 3600 * (int64_t)NANOSECONDS_PER_SECOND)

/* The largest size that a file offset (int64_t) can express. */
#define FILE_SIZE_MAX INT64_MAX

void file_put(struct file *file)
{
	/* With a directory that nobody needs any more, the reference on its parent goes. */
	while (file != NULL && --file->references == 0) {
		struct file *parent = file->parent == file ? NULL : file->parent;
		if (file->watches != NULL)
			inotify_forget(file);
		file->system->release(file);
		file = parent;
	}
}

int64_t file_now(void) { return (int64_t)time_realtime(); }

int64_t file_start_time(void) { return (int64_t)bootinfo.wall_clock; }

void file_initialize(struct file *file, const struct file_system *system,
		     const struct file_operations *operations, uint32_t mode, int64_t now)
{
	*file = (struct file){
		.operations = operations,
		.system = system,
		.references = 1,
		.mode = mode,
		.links = 1,
		.accessed = now,
		.modified = now,
		.changed = now,
		.created = now,
	};
}

void file_accessed(struct file *file)
{
	int64_t now = file_now();
	if (file->accessed <= file->modified || file->accessed <= file->changed ||
	    now - file->accessed >= DAY)
		file->accessed = now;
}

void file_modified(struct file *file)
{
	file->modified = file->changed = file_now();
	if ((file->mode & (S_ISUID | S_ISGID)) != 0)
		permission_drop_rights(file);
}

void file_changed(struct file *file) { file->changed = file_now(); }

int file_resize(struct file *file, uint64_t size)
{
	if (size > FILE_SIZE_MAX)
		return -EINVAL;
	if (file->operations->resize == NULL)
		return -EINVAL;
	return file->operations->resize(file, size);
}
