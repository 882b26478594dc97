/* Unpacking the initrd. */
#include <calypso/lib.h>
#include <calypso/log.h>
#include <calypso/time.h>
#include <file/cpio.h>
#include <file/initrd.h>
#include <file/path.h>
#include <file/ramfs/ramfs.h>

/* A file with several names in the archive, remembered until the archive ends. */
struct linked {
	struct linked *next;
	uint64_t identity;
	struct file *file;
};

struct unpacking {
	struct file_context *context;
	struct linked *linked;
	/* The directory of the member before, which most often is that of this one too. */
	struct file *directory;
	const char *path;
	size_t path_length; /* of the directory's part of `path` */
};

static size_t directory_length(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash == NULL ? 0 : (size_t)(slash - path);
}

/* Make the directories that a path names and that the archive did not bring. */
static int make_directories(struct unpacking *state, const char *path, size_t length)
{
	char *prefix = kmalloc(length + 1);
	if (prefix == NULL)
		return -ENOMEM;
	int error = 0;
	for (size_t i = 1; i <= length && error == 0; i++) {
		if (i < length && path[i] != '/')
			continue;
		memcpy(prefix, path, i);
		prefix[i] = '\0';
		struct path_walk walk;
		struct file *made;
		struct creation what = {.mode = S_IFDIR | 0755};
		error = path_begin(&walk, state->context, context_root(state->context), prefix);
		if (error != 0)
			break;
		error = path_last(&walk, PATH_FOLLOW, &made);
		if (walk.absent)
			error = walk.directory->operations->create(walk.directory, walk.last, &what,
								   &made);
		if (error == 0)
			file_put(made);
		path_end(&walk);
	}
	kfree(prefix);
	return error;
}

/* Remember the directory that a member goes to. */
static int enter_directory(struct unpacking *state, const char *path)
{
	size_t length = directory_length(path);
	if (state->directory != NULL && length == state->path_length &&
	    memcmp(path, state->path, length) == 0)
		return 0;

	struct path_walk walk;
	struct file *root = context_root(state->context);
	int error = path_begin(&walk, state->context, root, path);
	if (error == -ENOENT) {
		error = make_directories(state, path, length);
		if (error == 0)
			error = path_begin(&walk, state->context, root, path);
	}
	if (error != 0)
		return error;
	file_put(state->directory);
	state->directory = file_get(walk.directory);
	state->path = path;
	state->path_length = length;
	path_end(&walk);
	return 0;
}

static struct linked *find_linked(struct unpacking *state, uint64_t identity)
{
	struct linked *linked = state->linked;
	while (linked != NULL && linked->identity != identity)
		linked = linked->next;
	return linked;
}

static int remember_linked(struct unpacking *state, uint64_t identity, struct file *file)
{
	struct linked *linked = kmalloc(sizeof(*linked));
	if (linked == NULL)
		return -ENOMEM;
	*linked = (struct linked){state->linked, identity, file_get(file)};
	state->linked = linked;
	return 0;
}

static void set_attributes(struct file *file, const struct cpio_member *member)
{
	file->mode = (file->mode & S_IFMT) | (member->mode & S_IALLUGO);
	file->user = member->user;
	file->group = member->group;
	file->modified = (int64_t)(member->modified * NANOSECONDS_PER_SECOND);
	file->accessed = file->modified;
}

static int make_member(struct unpacking *state, struct name name, const struct cpio_member *member,
		       struct file **made)
{
	struct file *directory = state->directory;
	struct creation what = {
		.mode = member->mode,
		.device = device_number(member->major, member->minor),
		.target = (const char *)member->data,
		.target_length = member->length,
	};
	bool has_links = member->links > 1 && !S_ISDIR(member->mode);
	struct linked *linked = has_links ? find_linked(state, member->identity) : NULL;
	if (linked != NULL) {
		*made = file_get(linked->file);
		return directory->operations->link(directory, name, *made);
	}
	int error = directory->operations->create(directory, name, &what, made);
	if (error == 0 && has_links)
		error = remember_linked(state, member->identity, *made);
	return error;
}

/* A later member replaces an earlier one of the same path, unless both are directories. */
static int replace(struct unpacking *state, struct name name, struct file *old,
		   const struct cpio_member *member)
{
	if (S_ISDIR(old->mode) && S_ISDIR(member->mode)) {
		set_attributes(old, member);
		return -EEXIST;
	}
	return state->directory->operations->unlink(state->directory, name, old);
}

/* Make a member, or replace what has its name, in the directory at hand. */
static int unpack_entry(struct unpacking *state, struct name name, const struct cpio_member *member)
{
	struct file *file;
	if (state->directory->operations->lookup(state->directory, name, &file) == 0) {
		int error = replace(state, name, file, member);
		file_put(file);
		if (error != 0)
			return error == -EEXIST ? 0 : error;
	}
	int error = make_member(state, name, member, &file);
	if (error != 0)
		return error;
	if (S_ISREG(member->mode) && member->length > 0)
		ramfs_set_image(file, member->data, member->length);
	set_attributes(file, member);
	file_put(file);
	return 0;
}

static int unpack_member(struct unpacking *state, const struct cpio_member *member)
{
	int error = enter_directory(state, member->path);
	if (error != 0)
		return error;
	const char *last = member->path + directory_length(member->path);
	last += *last == '/';
	struct name name = {last, strlen(last)};
	if (name.length > NAME_MAX || name_is(name, ".."))
		return -EINVAL;
	if (name.length == 0 || name_is(name, ".")) {
		set_attributes(state->directory, member);
		return 0;
	}
	/* The directory keeps the time that the archive gave to it. */
	int64_t modified = state->directory->modified;
	error = unpack_entry(state, name, member);
	state->directory->modified = modified;
	return error;
}

static bool type_is_known(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return false;
	}
}

static void finish(struct unpacking *state)
{
	while (state->linked != NULL) {
		struct linked *linked = state->linked;
		state->linked = linked->next;
		file_put(linked->file);
		kfree(linked);
	}
	file_put(state->directory);
}

int initrd_unpack(struct file_context *context, const void *archive, uint64_t length)
{
	struct cpio_reader reader = {.archive = archive, .length = length};
	struct unpacking state = {.context = context};
	struct cpio_member member;
	int result;
	while ((result = cpio_next(&reader, &member)) > 0) {
		int error = type_is_known(member.mode) ? unpack_member(&state, &member) : -EINVAL;
		if (error != 0)
			log_error("initrd: %s: error %d", member.path, -error);
		if (error == -ENOMEM)
			result = error;
		if (error == -ENOMEM)
			break;
	}
	finish(&state);
	return result;
}
