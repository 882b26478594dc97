/* The root of all files. */
#include <calypso/bootinfo.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <file/device.h>
#include <file/initrd.h>
#include <file/path.h>
#include <file/procfs.h>
#include <file/ramfs.h>

static struct file *root;

/* The directory of this name in the root, made where the initrd has none. NULL where there is
 * something else, or no memory. */
static struct file *directory_in_root(const char *text)
{
	struct name name = {text, strlen(text)};
	struct creation what = {.mode = S_IFDIR | 0755};
	struct file *file;
	int error = root->operations->lookup(root, name, &file);
	if (error == -ENOENT)
		error = root->operations->create(root, name, &what, &file);
	if (error != 0)
		return NULL;
	if (S_ISDIR(file->mode))
		return file;
	file_put(file);
	return NULL;
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

static void populate(void)
{
	unpack_initrd();
	int64_t modified = root->modified;

	struct file *directory = directory_in_root("dev");
	if (directory != NULL)
		device_populate(directory);
	file_put(directory);

	directory = directory_in_root("proc");
	if (directory != NULL)
		path_mount(directory, procfs_root());
	file_put(directory);

	/* As old as the initrd says, else as the machine. */
	root->modified = modified;
}

struct file *root_directory(void)
{
	if (root != NULL)
		return root;
	root = ramfs_make_root();
	if (root != NULL)
		populate();
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
