/* /proc/1/fd: a link for each descriptor, made when it is looked at. */
#include <calypso/lib.h>
#include <calypso/text.h>
#include <file/path.h>
#include <file/procfs/procfs.h>
#include <file/device/tty.h>
#include <process/process.h>

struct descriptor_link {
	struct file file;
	int number;
};

static int descriptor_follow(struct file *file, struct file **found)
{
	int number = container_of(file, struct descriptor_link, file)->number;
	struct open_file *open = descriptor_find(&file_context()->descriptors, number);
	if (open == NULL)
		return -ENOENT;
	*found = file_get(open->file);
	return 0;
}

/* As Linux names what has no path. */
static void describe_nameless(const struct file *file, struct text *text)
{
	const char *label = file->system->label;
	if (label != NULL && strchr(label, ':') != NULL)
		text_add(text, "%s", label);
	else
		text_add(text, "%s:[%lu]", label == NULL ? "file" : label, file->number);
}

/* A file's path, as far as it still has the name by which it was opened. */
static int64_t describe(const struct open_file *open, char *path, size_t size)
{
	struct text text = {path, size, 0};
	struct file *file = open->file;
	if (S_ISDIR(file->mode))
		return path_of(file_context(), file, path, size);
	if (file->operations == &tty_operations && open->directory == NULL)
		text_add(&text, "/dev/console");
	else if (open->directory == NULL ||
		 path_of_entry(file_context(), open->directory, file, path, size) < 0)
		describe_nameless(file, &text);
	return 0;
}

static int64_t descriptor_target(struct file *file, char *buffer, size_t size)
{
	int number = container_of(file, struct descriptor_link, file)->number;
	struct open_file *open = descriptor_find(&file_context()->descriptors, number);
	if (open == NULL)
		return -ENOENT;
	char *path = kmalloc(PATH_MAX);
	int64_t result = path == NULL ? -ENOMEM : describe(open, path, PATH_MAX);
	if (result >= 0)
		result = procfs_copy_target(path, buffer, size);
	kfree(path);
	return result;
}

static const struct file_operations descriptor_operations = {
	.target = descriptor_target,
	.follow = descriptor_follow,
};

static void initialize_link(struct descriptor_link *link, int number)
{
	file_initialize(&link->file, &procfs, &descriptor_operations, S_IFLNK | 0700,
			file_start_time());
	link->file.number = (1ull << 32) + (uint64_t)number;
	link->number = number;
}

static int descriptors_lookup(struct file *file, struct name name, struct file **found)
{
	(void)file;
	char digits[12] = {0};
	const char *end = digits;
	uint64_t number;
	if (name.length >= sizeof(digits))
		return -ENOENT;
	memcpy(digits, name.bytes, name.length);
	if (!parse_number(&end, 10, &number) || *end != '\0' || number > INT32_MAX ||
	    descriptor_find(&file_context()->descriptors, (int)number) == NULL)
		return -ENOENT;
	struct descriptor_link *link = kmalloc(sizeof(*link));
	if (link == NULL)
		return -ENOMEM;
	initialize_link(link, (int)number);
	*found = &link->file;
	return 0;
}

static int descriptors_entries(struct file *file, uint64_t position, struct entry_sink *sink)
{
	(void)file;
	const struct descriptor_table *table = &file_context()->descriptors;
	for (uint64_t i = position; i < table->capacity; i++) {
		if (descriptor_find(table, (int)i) == NULL)
			continue;
		char digits[12];
		struct descriptor_link link;
		initialize_link(&link, (int)i);
		struct name name = {digits, (size_t)snprintf(digits, sizeof(digits), "%lu", i)};
		if (!sink->put(sink, name, &link.file, i + 1))
			break;
	}
	return 0;
}

const struct file_operations procfs_descriptors_operations = {
	.lookup = descriptors_lookup,
	.entries = descriptors_entries,
};
