/* The file system in memory: its objects. */
#include <calypso/lib.h>
#include <file/device/device.h>
#include <file/pipe.h>
#include <file/ramfs/ramfs.h>

#define LONG_TARGET 128

static void ramfs_release(struct file *file)
{
	if (S_ISDIR(file->mode))
		ramfs_directory_clear(container_of(file, struct ramfs_directory, file));
	else if (S_ISREG(file->mode))
		ramfs_regular_clear(container_of(file, struct ramfs_regular, file));
	/* The file is the first member of all of them. */
	kfree(file);
}

static int ramfs_space(struct file *file, struct file_space *space)
{
	struct frame_statistics memory = frame_statistics();
	(void)file;
	space->blocks = memory.total;
	space->free = space->available = memory.total - memory.used;
	return 0;
}

const struct file_system ramfs = {
	.name = "tmpfs",
	.device = 1,
	.magic = TMPFS_MAGIC,
	.release = ramfs_release,
	.space = ramfs_space,
};

static int64_t link_target(struct file *file, char *buffer, size_t size)
{
	const struct ramfs_link *link = container_of(file, struct ramfs_link, file);
	size_t length = file->size < size ? file->size : size;
	memcpy(buffer, link->target, length);
	return (int64_t)length;
}

static const struct file_operations link_operations = {.target = link_target};

static struct file *initialize(struct file *file, const struct file_operations *operations,
			       uint32_t mode, int64_t now)
{
	static uint64_t last_number;
	file_initialize(file, &ramfs, operations, mode, now);
	file->number = ++last_number;
	return file;
}

static struct file *make_directory(uint32_t mode, int64_t now)
{
	struct ramfs_directory *directory = kcalloc(1, sizeof(*directory));
	if (directory == NULL)
		return NULL;
	initialize(&directory->file, &ramfs_directory_operations, mode, now);
	directory->file.links = 2;
	directory->file.size = RAMFS_EMPTY_DIRECTORY_SIZE;
	return &directory->file;
}

static struct file *make_regular(uint32_t mode, int64_t now)
{
	struct ramfs_regular *regular = kcalloc(1, sizeof(*regular));
	if (regular == NULL)
		return NULL;
	ramfs_regular_initialize(regular);
	return initialize(&regular->file, &ramfs_regular_operations, mode, now);
}

static struct file *make_link(const struct creation *what, int64_t now)
{
	struct ramfs_link *link = kmalloc(sizeof(*link) + what->target_length);
	if (link == NULL)
		return NULL;
	initialize(&link->file, &link_operations, what->mode, now);
	link->file.size = what->target_length;
	/* tmpfs keeps longer ones in a page of their own, and so it counts. */
	link->file.blocks = what->target_length >= LONG_TARGET ? PAGE_SIZE / 512 : 0;
	memcpy(link->target, what->target, what->target_length);
	return &link->file;
}

static struct file *make_fifo(uint32_t mode, int64_t now)
{
	struct pipe *pipe = kcalloc(1, sizeof(*pipe));
	if (pipe == NULL)
		return NULL;
	initialize(&pipe->file, &pipe_operations, mode, now);
	pipe_initialize(pipe);
	return &pipe->file;
}

static struct file *make_special(const struct creation *what, int64_t now)
{
	struct file *file = kmalloc(sizeof(*file));
	if (file == NULL)
		return NULL;
	initialize(file, device_operations(what->mode, what->device), what->mode, now);
	file->device = what->device;
	return file;
}

static struct file *make(const struct creation *what, int64_t now)
{
	switch (what->mode & S_IFMT) {
	case S_IFDIR:
		return make_directory(what->mode, now);
	case S_IFREG:
		return make_regular(what->mode, now);
	case S_IFLNK:
		return make_link(what, now);
	case S_IFIFO:
		return make_fifo(what->mode, now);
	default:
		return make_special(what, now);
	}
}

struct file *ramfs_make(const struct creation *what, int64_t now)
{
	struct file *file = make(what, now);
	if (file != NULL) {
		file->user = what->user;
		file->group = what->group;
	}
	return file;
}

int ramfs_create_nameless(struct file *directory, const struct creation *what, struct file **made)
{
	(void)directory;
	*made = ramfs_make(what, file_now());
	if (*made == NULL)
		return -ENOMEM;
	(*made)->links = 0;
	return 0;
}

struct file *ramfs_make_root(void)
{
	struct file *root = make_directory(S_IFDIR | 0755, file_start_time());
	if (root != NULL)
		root->parent = root;
	return root;
}

struct file *ramfs_make_image(const void *image, uint64_t length, uint32_t permissions)
{
	struct file *file = make_regular(S_IFREG | permissions, file_start_time());
	if (file != NULL)
		ramfs_set_image(file, image, length);
	return file;
}
