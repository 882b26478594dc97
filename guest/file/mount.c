/* Mounts, and the way back from a directory to its path. */
#include <calypso/lib.h>
#include <calypso/log.h>
#include <file/path.h>

/* The file systems that cover a directory, never taken away: /dev, /proc, directories of the host. */
static struct mount {
	struct file *covered;
	struct file *root;
} mounts[16];
static unsigned mount_count;

void path_mount(struct file *covered, struct file *root)
{
	assert_that(mount_count < ARRAY_SIZE(mounts));
	mounts[mount_count++] = (struct mount){file_get(covered), root};
	covered->mounted = root;
	root->parent = file_get(covered->parent);
}

/* The file that the parent's entry stands for: the covered one where `directory` is mounted. */
static const struct file *entry_of(const struct file *directory)
{
	for (unsigned i = 0; i < mount_count; i++) {
		if (mounts[i].root == directory)
			return mounts[i].covered;
	}
	return directory;
}

bool path_is_mounted(const struct file *file) { return entry_of(file) != file; }

/* Puts the name of one file in front of the path built so far. */
struct name_finder {
	struct entry_sink sink;
	const struct file *wanted;
	char *buffer;
	size_t start; /* the path is buffer[start..] */
	int result;
};

static bool find_name(struct entry_sink *sink, struct name name, const struct file *file,
		      uint64_t next)
{
	(void)next;
	struct name_finder *finder = container_of(sink, struct name_finder, sink);
	/* Some file systems make the files that they report for the moment. */
	if (file->number != finder->wanted->number ||
	    ((file->mode ^ finder->wanted->mode) & S_IFMT) != 0)
		return true;
	finder->result = -ERANGE;
	if (name.length + 1 <= finder->start) {
		finder->start -= name.length + 1;
		finder->buffer[finder->start] = '/';
		memcpy(finder->buffer + finder->start + 1, name.bytes, name.length);
		finder->result = 0;
	}
	return false;
}

/* Put the name that a file has in a directory in front. */
static int prepend_name(struct name_finder *finder, struct file *directory, const struct file *file)
{
	finder->wanted = file;
	finder->result = -ENOENT;
	int error = directory->operations->entries(directory, 0, &finder->sink);
	return error != 0 ? error : finder->result;
}

static struct name_finder begin_path(char *buffer, size_t size)
{
	buffer[size - 1] = '\0';
	return (struct name_finder){.sink.put = find_name, .buffer = buffer, .start = size - 1};
}

/* Put what leads to a directory in front, and move it all to the buffer's start. */
static int64_t finish_path(struct name_finder *finder, struct file_context *context,
			   const struct file *directory, size_t size)
{
	const struct file *root = context_root(context);
	while (directory != root) {
		int error = prepend_name(finder, directory->parent, entry_of(directory));
		if (error != 0)
			return error;
		directory = directory->parent;
	}
	if (finder->start == size - 1)
		finder->buffer[--finder->start] = '/';
	int64_t length = (int64_t)(size - finder->start);
	memmove(finder->buffer, finder->buffer + finder->start, (size_t)length);
	return length;
}

int path_name_in(struct file *directory, const struct file *file, char name[NAME_MAX + 1])
{
	char path[1 + NAME_MAX + 1];
	struct name_finder finder = begin_path(path, sizeof(path));
	int error = prepend_name(&finder, directory, file);
	if (error != 0)
		return error;
	return (int)strlcpy(name, path + finder.start + 1, NAME_MAX + 1);
}

int64_t path_of(struct file_context *context, struct file *directory, char *buffer, size_t size)
{
	if (size < 2)
		return -ERANGE;
	struct name_finder finder = begin_path(buffer, size);
	return finish_path(&finder, context, directory, size);
}

int64_t path_of_entry(struct file_context *context, struct file *directory,
		      const struct file *file, char *buffer, size_t size)
{
	if (size < 2)
		return -ERANGE;
	struct name_finder finder = begin_path(buffer, size);
	int error = prepend_name(&finder, directory, file);
	return error != 0 ? error : finish_path(&finder, context, directory, size);
}

bool path_mounted(unsigned index, struct path_mounted *mounted)
{
	if (index >= mount_count)
		return false;
	mounted->root = mounts[index].root;
	if (path_of(file_context(), mounted->root, mounted->path, sizeof(mounted->path)) < 0)
		strlcpy(mounted->path, "?", sizeof(mounted->path));
	return true;
}
