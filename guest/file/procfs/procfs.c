/* /proc: a fixed tree of files whose content is written when it is read. */
#include <calypso/lib.h>
#include <calypso/text.h>
#include <file/io.h>
#include <file/path.h>
#include <file/procfs/procfs.h>
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
	procfs_show *show;		     /* of a regular file: its content */
};

static const struct file_operations directory_operations, link_operations, text_operations;

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

static struct node network_nodes[] = {
	{TEXT("dev", procfs_show_interfaces)},
};

static struct node process_nodes[] = {
	{TEXT("auxv", procfs_show_auxiliary)},
	{TEXT("cmdline", procfs_show_arguments)},
	{TEXT("comm", procfs_show_name)},
	{LINK_TO("cwd", lead_to_working, working_text)},
	{TEXT("environ", procfs_show_environment)},
	{LINK_TO("exe", lead_to_executable, executable_text)},
	{.name = "fd", .mode = S_IFDIR | 0500, .operations = &procfs_descriptors_operations},
	{TEXT("limits", procfs_show_limits)},
	{TEXT("maps", procfs_show_mappings)},
	{TEXT("mountinfo", procfs_show_mount_details)},
	{TEXT("mounts", procfs_show_mounts)},
	{DIRECTORY("net", network_nodes)},
	{LINK_TO("root", lead_to_root, root_text)},
	{TEXT("stat", procfs_show_process)},
	{TEXT("statm", procfs_show_process_memory)},
	{TEXT("status", procfs_show_status)},
};

static struct node random_nodes[] = {
	{TEXT("boot_id", procfs_show_boot_id)},
	{TEXT("entropy_avail", procfs_show_entropy)},
	{TEXT("uuid", procfs_show_uuid)},
};

static struct node kernel_nodes[] = {
	{TEXT("hostname", procfs_show_host_name)},
	{TEXT("osrelease", procfs_show_release)},
	{TEXT("ostype", procfs_show_system_name)},
	{TEXT("pid_max", procfs_show_id_limit)},
	{DIRECTORY("random", random_nodes)},
};

static struct node memory_nodes[] = {
	{TEXT("max_map_count", procfs_show_mapping_limit)},
	{TEXT("overcommit_memory", procfs_show_overcommit)},
};

static struct node system_nodes[] = {
	{DIRECTORY("kernel", kernel_nodes)},
	{DIRECTORY("vm", memory_nodes)},
};

static struct node root_nodes[] = {
	{DIRECTORY("1", process_nodes)},
	{TEXT("cmdline", procfs_show_command_line)},
	{TEXT("cpuinfo", procfs_show_processor)},
	{TEXT("filesystems", procfs_show_file_systems)},
	{TEXT("loadavg", procfs_show_load)},
	{TEXT("meminfo", procfs_show_memory)},
	{LINK("mounts", "self/mounts")},
	{LINK("net", "self/net")},
	{LINK("self", "1")},
	{TEXT("stat", procfs_show_machine)},
	{TEXT("swaps", procfs_show_swap)},
	{DIRECTORY("sys", system_nodes)},
	{TEXT("uptime", procfs_show_uptime)},
	{TEXT("version", procfs_show_version)},
	{TEXT("vmstat", procfs_show_paging)},
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

int64_t procfs_copy_target(const char *target, char *buffer, size_t size)
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
		return procfs_copy_target(node->target, buffer, size);
	char *path = kmalloc(PATH_MAX);
	if (path == NULL)
		return -ENOMEM;
	int64_t length = procfs_copy_target(node->link_text(path, PATH_MAX), buffer, size);
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

/* Only the links of descriptors come and go; the file is their first member. */
static void procfs_release(struct file *file) { kfree(file); }

const struct file_system procfs = {
	.name = "proc",
	.device = 3,
	.magic = PROC_SUPER_MAGIC,
	.of_process = true,
	.release = procfs_release,
};
