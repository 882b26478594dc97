/* The root of all files, and what is mounted in it: /dev, /proc, directories of the host. */
#include <calypso/balloon.h>
#include <calypso/bootinfo.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <file/device/device.h>
#include <file/initrd.h>
#include <file/p9/p9fs.h>
#include <file/path.h>
#include <file/procfs/procfs.h>
#include <file/ramfs/ramfs.h>

static struct file *root;

/* The tag of the directory that is the root, as Linux is told: rootfstype=9p root=TAG. Its length; 0
 * where the root is in memory. */
static size_t root_tag(const char **tag)
{
	int length = command_line_is("rootfstype", "9p") ? command_line_find("root", tag) : 0;
	return length > 0 ? (size_t)length : 0;
}

/* A directory in memory that others can be found in. */
static struct file *make_directory(struct file *parent, const struct creation *what)
{
	struct file *directory = ramfs_make(what, file_start_time());
	if (directory != NULL)
		directory->parent = file_get(parent);
	return directory;
}

/* Make what the host's directory lacks, for the guest alone. */
static struct file *pin_directory(struct file *parent, const char *text,
				  const struct creation *what)
{
	struct file *directory = make_directory(parent, what);
	if (directory != NULL && p9fs_pin(parent, text, directory) == 0)
		return directory;
	file_put(directory);
	return NULL;
}

/* The directory of this name in another one, made where there is none. NULL where there is something
 * else, or no memory. */
static struct file *directory_in(struct file *parent, const char *text)
{
	struct name name = {text, strlen(text)};
	struct creation what = {.mode = S_IFDIR | 0755};
	struct file *file;
	int error = parent->operations->lookup(parent, name, &file);
	if (error == -ENOENT && parent->system != &ramfs)
		return pin_directory(parent, text, &what);
	if (error == -ENOENT)
		error = parent->operations->create(parent, name, &what, &file);
	if (error != 0)
		return NULL;
	if (S_ISDIR(file->mode))
		return file;
	file_put(file);
	return NULL;
}

/* The same in the root, in memory whatever the root is: covered by an empty one where it is not. */
static struct file *memory_in_root(const char *text, uint32_t permissions)
{
	struct file *directory = directory_in(root, text);
	if (directory == NULL || directory->system == &ramfs)
		return directory;
	struct file *cover = directory->mounted;
	if (cover != NULL) {
		file_put(directory);
		return file_get(cover);
	}
	cover = ramfs_make_root();
	if (cover != NULL) {
		cover->mode = S_IFDIR | permissions;
		path_mount(directory, file_get(cover));
	}
	file_put(directory);
	return cover;
}

static void unpack_initrd(void)
{
	const struct calypso_region *initrd = bootinfo_find(CALYPSO_REGION_INITRD);
	if (initrd == NULL)
		return;
	struct file_context context = {.root = root};
	int error = initrd_unpack(&context, phys_to_virt(initrd->physical), initrd->length);
	if (error != 0)
		log_error("initrd: not read to its end: error %d", -error);
}

/* Mount each directory of the host but the root at /mnt/TAG. */
static void mount_shares(void)
{
	const char *of_root = NULL;
	size_t root_length = root_tag(&of_root);
	char tag[NAME_MAX + 1];
	int length;
	for (unsigned i = 0; (length = p9fs_tag(i, tag, sizeof(tag))) >= 0; i++) {
		if ((size_t)length == root_length && memcmp(tag, of_root, root_length) == 0)
			continue;
		struct file *all = memory_in_root("mnt", 0755);
		struct file *directory = all == NULL ? NULL : directory_in(all, tag);
		struct file *shared =
			directory == NULL ? NULL : p9fs_mount(tag, (size_t)length);
		if (shared != NULL)
			path_mount(directory, shared);
		file_put(directory);
		file_put(all);
	}
}

static void populate(void)
{
	int64_t modified = root->modified;

	struct file *directory = memory_in_root("dev", 0755);
	if (directory != NULL)
		device_populate(directory);
	file_put(directory);

	directory = directory_in(root, "proc");
	if (directory != NULL)
		path_mount(directory, procfs_root());
	file_put(directory);

	mount_shares();
	/* Programs need a place for what they make for a moment. */
	if (root->system->read_only)
		file_put(memory_in_root("tmp", S_ISVTX | 0777));

	/* As old as the initrd says, else as the machine. */
	root->modified = modified;
}

static struct file *make_root(void)
{
	const char *tag;
	size_t length = root_tag(&tag);
	if (length > 0)
		return p9fs_mount(tag, length);
	root = ramfs_make_root();
	if (root != NULL)
		unpack_initrd();
	return root;
}

struct file *root_directory(void)
{
	if (root != NULL)
		return root;
	root = make_root();
	if (root != NULL)
		populate();
	balloon_start();
	return root;
}

struct file *context_root(struct file_context *context)
{
	return context->root != NULL ? context->root : root_directory();
}

struct file *context_working(struct file_context *context)
{
	return context->working != NULL ? context->working : context_root(context);
}
