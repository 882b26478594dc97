/* Walks along paths. */
#include <calypso/lib.h>
#include <file/inotify.h>
#include <file/path.h>
#include <file/permission.h>

/* Where absolute paths start, and ".." does not lead out of. */
static struct file *root_of(const struct path_walk *walk)
{
	return (walk->resolve & PATH_IN_ROOT) != 0 ? walk->top : context_root(walk->context);
}

static struct file *borrow_start(struct file_context *context, struct file *start, const char *path)
{
	if (path[0] == '/')
		return context_root(context);
	return start != NULL ? start : context_working(context);
}

static bool is_dots(struct name name) { return name_is(name, ".") || name_is(name, ".."); }

bool path_last_is_name(const struct path_walk *walk)
{
	return walk->last.length > 0 && !is_dots(walk->last);
}

/* Cut the next component off `rest`; an empty one where only slashes are left. */
static struct name next_component(struct path_walk *walk)
{
	const char *at = walk->rest;
	while (*at == '/')
		at++;
	struct name name = {at, 0};
	while (at[name.length] != '\0' && at[name.length] != '/')
		name.length++;
	at += name.length;
	walk->trailing_slash = *at == '/';
	while (*at == '/')
		at++;
	walk->rest = at;
	return name;
}

/* Give up what was found where the walk may not go there. */
static int check_system(const struct path_walk *walk, struct file **found)
{
	if ((walk->resolve & PATH_NO_MOUNTS) == 0 || (*found)->system == walk->directory->system)
		return 0;
	file_put(*found);
	return -EXDEV;
}

/* Find one entry, "." and ".." included, and go through to what is mounted there. */
static int find_entry(const struct path_walk *walk, struct name name, struct file **found)
{
	struct file *directory = walk->directory;
	if (!S_ISDIR(directory->mode))
		return -ENOTDIR;
	if (name.length > NAME_MAX)
		return -ENAMETOOLONG;
	if (name.length == 0 || name_is(name, ".")) {
		*found = file_get(directory);
		return 0;
	}
	if (name_is(name, "..")) {
		if ((walk->resolve & PATH_BENEATH) != 0 && directory == walk->top)
			return -EXDEV;
		bool at_root = directory == root_of(walk);
		*found = file_get(at_root ? directory : directory->parent);
		return check_system(walk, found);
	}
	struct file *entry;
	int error = directory->operations->lookup(directory, name, &entry);
	if (error != 0)
		return error;
	*found = entry;
	if (entry->mounted != NULL) {
		*found = file_get(entry->mounted);
		file_put(entry);
	}
	return check_system(walk, found);
}

/* Put a link's target in front of what is left of the path. */
static int insert_target(struct path_walk *walk, struct file *link)
{
	size_t rest = strlen(walk->rest);
	char *buffer = kmalloc(PATH_MAX + 1 + rest + 1);
	if (buffer == NULL)
		return -ENOMEM;
	int64_t length = link->operations->target(link, buffer, PATH_MAX);
	if (length <= 0 || length == PATH_MAX) {
		kfree(buffer);
		return length < 0 ? (int)length : length == 0 ? -ENOENT : -ENAMETOOLONG;
	}
	/* "target/" must be a directory, as the component itself had to be. */
	if (rest > 0 || walk->trailing_slash)
		buffer[length++] = '/';
	memcpy(buffer + length, walk->rest, rest + 1);
	kfree(walk->buffer);
	walk->buffer = buffer;
	walk->rest = buffer;
	return 0;
}

/* A link that is no text may lead anywhere. */
static int check_jump(const struct path_walk *walk, struct file **jumped)
{
	int error = 0;
	if ((walk->resolve & PATH_NO_MAGIC_LINKS) != 0)
		error = -ELOOP;
	else if ((walk->resolve & (PATH_BENEATH | PATH_IN_ROOT)) != 0)
		error = -EXDEV;
	if (error == 0)
		return check_system(walk, jumped);
	file_put(*jumped);
	return error;
}

/* Follow a link found in `walk->directory`: either `*jumped` is the file that it leads to, or
 * the walk goes on along a longer path, from another directory where the target is absolute. */
static int follow(struct path_walk *walk, struct file *link, struct file **jumped)
{
	*jumped = NULL;
	if (++walk->links > PATH_LINKS_MAX || (walk->resolve & PATH_NO_LINKS) != 0)
		return -ELOOP;
	int error = 0;
	if (link->operations->follow != NULL)
		error = link->operations->follow(link, jumped);
	if (error == 0 && *jumped != NULL)
		error = check_jump(walk, jumped);
	if (error != 0 || *jumped != NULL)
		return error;
	error = insert_target(walk, link);
	if (error == 0 && walk->rest[0] == '/') {
		if ((walk->resolve & PATH_BENEATH) != 0)
			return -EXDEV;
		file_put(walk->directory);
		walk->directory = file_get(root_of(walk));
	}
	return error;
}

/* Go into the component that was cut off last. */
static int enter(struct path_walk *walk, struct name name)
{
	struct file *found;
	int error = find_entry(walk, name, &found);
	if (error != 0)
		return error;
	if (S_ISLNK(found->mode)) {
		struct file *jumped;
		error = follow(walk, found, &jumped);
		file_put(found);
		if (error != 0 || jumped == NULL)
			return error;
		found = jumped;
	}
	file_put(walk->directory);
	walk->directory = found;
	return 0;
}

/* Enter all components but the last. */
static int advance(struct path_walk *walk)
{
	for (;;) {
		struct name name = next_component(walk);
		int error = name.length > 0 ? permission_to_search(walk->directory) : 0;
		if (error != 0)
			return error;
		if (*walk->rest == '\0') {
			walk->last = name;
			return S_ISDIR(walk->directory->mode) ? 0 : -ENOTDIR;
		}
		error = enter(walk, name);
		if (error != 0)
			return error;
	}
}

int path_begin_within(struct path_walk *walk, struct file_context *context, struct file *start,
		      const char *path, unsigned resolve)
{
	if (path[0] == '\0')
		return -ENOENT;
	if (path[0] == '/' && (resolve & PATH_BENEATH) != 0)
		return -EXDEV;
	bool in_root = (resolve & PATH_IN_ROOT) != 0;
	struct file *directory = borrow_start(context, start, in_root ? "" : path);
	if (directory == NULL)
		return -ENOMEM;
	*walk = (struct path_walk){
		.context = context,
		.directory = file_get(directory),
		.rest = path,
		.resolve = resolve,
		.top = directory,
	};
	int error = advance(walk);
	if (error != 0)
		path_end(walk);
	return error;
}

int path_begin(struct path_walk *walk, struct file_context *context, struct file *start,
	       const char *path)
{
	return path_begin_within(walk, context, start, path, 0);
}

int path_last(struct path_walk *walk, unsigned flags, struct file **found)
{
	for (;;) {
		struct file *file;
		int error = find_entry(walk, walk->last, &file);
		walk->absent = error == -ENOENT;
		if (error != 0)
			return error;
		bool slash = walk->trailing_slash && (flags & PATH_ENTRY) == 0;
		bool follows = (flags & PATH_FOLLOW) != 0 || slash;
		if (S_ISLNK(file->mode) && follows) {
			struct file *jumped;
			error = follow(walk, file, &jumped);
			if (error == 0 && jumped != NULL)
				walk->jump = file;
			else
				file_put(file);
			if (error == 0 && jumped == NULL)
				error = advance(walk);
			if (error != 0)
				return error;
			if (jumped == NULL)
				continue;
			file = jumped;
		}
		if (slash && !S_ISDIR(file->mode)) {
			file_put(file);
			return -ENOTDIR;
		}
		*found = file;
		return 0;
	}
}

void path_end(struct path_walk *walk)
{
	file_put(walk->directory);
	file_put(walk->jump);
	kfree(walk->buffer);
}

int64_t path_of_found(const struct path_walk *walk, char *buffer, size_t size)
{
	if (walk->jump != NULL) {
		int64_t length = walk->jump->operations->target(walk->jump, buffer, size - 1);
		if (length >= 0)
			buffer[length++] = '\0';
		return length;
	}
	int64_t length = path_of(walk->context, walk->directory, buffer, size);
	if (length < 0)
		return length;
	/* The root is "/"; all others end with no slash. */
	size_t end = length == 2 ? 0 : (size_t)length - 1;
	if (end + 1 + walk->last.length + 1 > size)
		return -ERANGE;
	buffer[end] = '/';
	memcpy(buffer + end + 1, walk->last.bytes, walk->last.length);
	buffer[end + 1 + walk->last.length] = '\0';
	return (int64_t)(end + 1 + walk->last.length + 1);
}

int path_create(struct path_walk *walk, struct creation *what, struct file **made)
{
	struct file *directory = walk->directory;
	if (directory->links == 0)
		return -ENOENT;
	int error = permission_to_add(directory);
	if (error != 0)
		return error;
	bool is_device = S_ISBLK(what->mode) || (S_ISCHR(what->mode) && what->device != 0);
	if (is_device && !is_superuser())
		return -EPERM;
	if (directory->operations->create == NULL)
		return S_ISREG(what->mode) ? -EACCES : -EPERM;
	permission_own_entry(directory, what);
	if (!S_ISLNK(what->mode))
		what->mode &= ~(walk->context->umask & 0777);
	error = directory->operations->create(directory, walk->last, what, made);
	if (error == 0)
		inotify_entry(directory, walk->last, what->mode, IN_CREATE);
	return error;
}

int path_find(struct file_context *context, struct file *start, const char *path, unsigned flags,
	      struct file **found)
{
	struct path_walk walk;
	int error = path_begin(&walk, context, start, path);
	if (error != 0)
		return error;
	error = path_last(&walk, flags, found);
	path_end(&walk);
	return error;
}
