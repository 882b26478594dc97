/* /proc: a fixed tree of files whose content is written when it is read. */
#include <calypso/lib.h>
#include <calypso/text.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/context.h>
#include <file/io.h>
#include <file/path.h>
#include <file/procfs.h>
#include <file/tty.h>
#include <process/process.h>

/* One place in the tree. Nodes are there for good: their own reference never goes. */
struct node {
	struct file file;
	const char *name;
	uint32_t mode;
	const struct file_operations *operations;
	struct node *children; /* of a directory */
	unsigned child_count;
	const char *target;		     /* of a plain link */
	struct file *(*leads_to)(void);	     /* of a link straight to a file: borrowed, or NULL */
	const char *(*link_text)(char *, size_t); /* what such a link is read as */
	int (*show)(struct text *);	     /* of a regular file: its content; -ERANGE, -EFAULT */
};

static const struct file_system procfs;
static const struct file_operations directory_operations, link_operations, text_operations;
static const struct file_operations descriptors_operations;

/* ---- Content of files ---- */

static int show_version(struct text *text)
{
	text_add(text, "Linux version 6.1.0-calypso (calypso) #1 Calypso\n");
	return 0;
}

static int show_uptime(struct text *text)
{
	uint64_t hundredths = time_monotonic() / (NANOSECONDS_PER_SECOND / 100);
	text_add(text, "%lu.%02lu 0.00\n", hundredths / 100, hundredths % 100);
	return 0;
}

static int show_memory(struct text *text)
{
	struct frame_statistics memory = frame_statistics();
	uint64_t total = memory.total * PAGE_SIZE / 1024;
	uint64_t available = (memory.total - memory.used) * PAGE_SIZE / 1024;
	text_add(text, "MemTotal:       %8lu kB\n", total);
	text_add(text, "MemFree:        %8lu kB\n", available);
	text_add(text, "MemAvailable:   %8lu kB\n", available);
	text_add(text, "Buffers:        %8u kB\n", 0);
	text_add(text, "Cached:         %8u kB\n", 0);
	text_add(text, "SwapTotal:      %8u kB\n", 0);
	text_add(text, "SwapFree:       %8u kB\n", 0);
	return 0;
}

static int show_file_systems(struct text *text)
{
	text_add(text, "nodev\tproc\nnodev\ttmpfs\n");
	return 0;
}

static int show_mounts(struct text *text)
{
	text_add(text, "rootfs / rootfs rw 0 0\nproc /proc proc rw,relatime 0 0\n");
	return 0;
}

static int show_name(struct text *text)
{
	text_add(text, "%s\n", process.name);
	return 0;
}

/* The arguments as they are on the program's stack now. */
static int show_arguments(struct text *text)
{
	uint64_t length = process.environment - process.arguments;
	if (text->length + length >= text->size)
		return -ERANGE;
	if (user_copy_in(text->buffer + text->length, process.arguments, length) != 0)
		return -EFAULT;
	text->length += length;
	return 0;
}

static int show_mappings(struct text *text)
{
	struct space_mapping mapping;
	user_t at = 0;
	for (; space_find(at, &mapping); at = mapping.end) {
		text_add(text, "%08lx-%08lx %c%c%c%c %08lx 00:00 0\n", mapping.start, mapping.end,
			 (mapping.protection & PROT_READ) != 0 ? 'r' : '-',
			 (mapping.protection & PROT_WRITE) != 0 ? 'w' : '-',
			 (mapping.protection & PROT_EXEC) != 0 ? 'x' : '-',
			 (mapping.flags & MAP_TYPE) == MAP_PRIVATE ? 'p' : 's', mapping.offset);
	}
	return 0;
}

/* ---- Links straight to files ---- */

static struct file *lead_to_executable(void) { return process.executable; }
static struct file *lead_to_working(void) { return context_working(file_context()); }
static struct file *lead_to_root(void) { return context_root(file_context()); }

static const char *executable_text(char *buffer, size_t size)
{
	(void)buffer, (void)size;
	return process.path;
}

static const char *working_text(char *buffer, size_t size)
{
	struct file_context *context = file_context();
	return path_of(context, context_working(context), buffer, size) < 0 ? "" : buffer;
}

static const char *root_text(char *buffer, size_t size)
{
	(void)buffer, (void)size;
	return "/";
}

/* ---- The tree ---- */

#define DIRECTORY(title, list)                                                        \
	.name = (title), .mode = S_IFDIR | 0555, .operations = &directory_operations, \
	.children = (list), .child_count = ARRAY_SIZE(list)
#define TEXT(title, function) \
	.name = (title), .mode = S_IFREG | 0444, .operations = &text_operations, .show = (function)
#define LINK(title, text) \
	.name = (title), .mode = S_IFLNK | 0777, .operations = &link_operations, .target = (text)
#define LINK_TO(title, function, text)                                           \
	.name = (title), .mode = S_IFLNK | 0777, .operations = &link_operations, \
	.leads_to = (function), .link_text = (text)

static struct node process_nodes[] = {
	{TEXT("cmdline", show_arguments)},
	{TEXT("comm", show_name)},
	{LINK_TO("cwd", lead_to_working, working_text)},
	{LINK_TO("exe", lead_to_executable, executable_text)},
	{.name = "fd", .mode = S_IFDIR | 0500, .operations = &descriptors_operations},
	{TEXT("maps", show_mappings)},
	{TEXT("mounts", show_mounts)},
	{LINK_TO("root", lead_to_root, root_text)},
};

static struct node root_nodes[] = {
	{DIRECTORY("1", process_nodes)},
	{TEXT("filesystems", show_file_systems)},
	{TEXT("meminfo", show_memory)},
	{LINK("mounts", "self/mounts")},
	{LINK("self", "1")},
	{TEXT("uptime", show_uptime)},
	{TEXT("version", show_version)},
};

static struct node root = {DIRECTORY("/", root_nodes)};

static struct node *node_of(struct file *file) { return container_of(file, struct node, file); }

/* Fill in a node that is seen for the first time. */
static struct file *visit(struct node *node, struct file *parent)
{
	static uint64_t last_number;
	if (node->file.references > 0)
		return &node->file;
	file_initialize(&node->file, &procfs, node->operations, node->mode, file_start_time());
	node->file.number = ++last_number;
	if (S_ISDIR(node->mode)) {
		node->file.links = 2;
		node->file.parent = parent;
	}
	return &node->file;
}

struct file *procfs_root(void) { return visit(&root, &root.file); }

static int directory_lookup(struct file *file, struct name name, struct file **found)
{
	struct node *node = node_of(file);
	for (unsigned i = 0; i < node->child_count; i++) {
		if (!name_is(name, node->children[i].name))
			continue;
		*found = file_get(visit(&node->children[i], file));
		return 0;
	}
	return -ENOENT;
}

static int directory_entries(struct file *file, uint64_t position, struct entry_sink *sink)
{
	struct node *node = node_of(file);
	for (uint64_t i = position; i < node->child_count; i++) {
		struct node *child = &node->children[i];
		struct name name = {child->name, strlen(child->name)};
		if (!sink->put(sink, name, visit(child, file), i + 1))
			break;
	}
	return 0;
}

static const struct file_operations directory_operations = {
	.lookup = directory_lookup,
	.entries = directory_entries,
};

/* ---- Text ---- */

#define TEXT_ORDER 2 /* 16 KiB for one file */

static int text_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)flags;
	physical_t frames = frame_allocate(TEXT_ORDER, 0);
	if (frames == FRAME_NONE)
		return -ENOMEM;
	struct text text = {phys_to_virt(frames), PAGE_SIZE << TEXT_ORDER, 0};
	int error = node_of(file)->show(&text);
	if (error == 0 && offset < text.length) {
		uint64_t left = text.length - offset;
		error = io_put(io, text.buffer + offset,
			       left < io->remaining ? left : io->remaining);
	}
	frame_free(frames, TEXT_ORDER);
	return error;
}

static const struct file_operations text_operations = {.read = text_read};

/* ---- Links ---- */

static int64_t copy_target(const char *target, char *buffer, size_t size)
{
	size_t length = strlen(target);
	if (length > size)
		length = size;
	memmove(buffer, target, length);
	return (int64_t)length;
}

static int64_t link_target(struct file *file, char *buffer, size_t size)
{
	struct node *node = node_of(file);
	if (node->target != NULL)
		return copy_target(node->target, buffer, size);
	char *path = kmalloc(PATH_MAX);
	if (path == NULL)
		return -ENOMEM;
	int64_t length = copy_target(node->link_text(path, PATH_MAX), buffer, size);
	kfree(path);
	return length;
}

static int link_follow(struct file *file, struct file **found)
{
	struct node *node = node_of(file);
	if (node->target != NULL) {
		*found = NULL;
		return 0;
	}
	struct file *to = node->leads_to();
	if (to == NULL)
		return -ENOENT;
	*found = file_get(to);
	return 0;
}

static const struct file_operations link_operations = {
	.target = link_target,
	.follow = link_follow,
};

/* ---- /proc/1/fd: a link for each descriptor, made when it is looked at ---- */

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

/* The path of a directory, of the program and of the terminal; all else is named as Linux names
 * what has no path, for no file knows its own. */
static int64_t describe(struct file *file, char *path, size_t size)
{
	struct text text = {path, size, 0};
	if (S_ISDIR(file->mode))
		return path_of(file_context(), file, path, size);
	if (file == process.executable)
		text_add(&text, "%s", process.path);
	else if (file->operations == &tty_operations)
		text_add(&text, "/dev/%s", device_minor(file->device) == 0 ? "tty" : "console");
	else
		describe_nameless(file, &text);
	return 0;
}

static int64_t descriptor_target(struct file *file, char *buffer, size_t size)
{
	struct file *target;
	int64_t result = descriptor_follow(file, &target);
	if (result != 0)
		return result;
	char *path = kmalloc(PATH_MAX);
	result = path == NULL ? -ENOMEM : describe(target, path, PATH_MAX);
	if (result >= 0)
		result = copy_target(path, buffer, size);
	kfree(path);
	file_put(target);
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

static const struct file_operations descriptors_operations = {
	.lookup = descriptors_lookup,
	.entries = descriptors_entries,
};

/* Only the links of descriptors come and go. */
static void procfs_release(struct file *file)
{
	kfree(container_of(file, struct descriptor_link, file));
}

static const struct file_system procfs = {
	.name = "proc",
	.device = 3,
	.magic = PROC_SUPER_MAGIC,
	.release = procfs_release,
};
