/* Directories and symbolic links of the host. */
#include <calypso/lib.h>
#include <file/p9/p9fs.h>
#include <uapi/fcntl.h>

/* Entries are read from the host in pieces of this size. */
#define LISTING_ORDER 2

static int directory_lookup(struct file *file, struct name name, struct file **found)
{
	struct p9_file *directory = p9_file_of(file);
	struct p9_attributes attributes;
	uint32_t fid;
	if (p9_name_find(directory, name, found)) {
		if (*found == NULL)
			return -ENOENT;
		file_get(*found);
		return 0;
	}
	int error = p9_walk(p9_session_of(directory), directory->fid, name, &fid, &attributes);
	if (error == 0)
		error = p9fs_found(directory, fid, &attributes, found);
	if (error == 0)
		p9_name_set(directory, name, *found);
	else if (error == -ENOENT)
		p9_name_set(directory, name, NULL);
	return error;
}

/* ---- Reading ---- */

/* What an entry stands for, as far as programs see it in a listing: the file where it is known, else
 * its number and type. */
static bool put_entry(struct p9_file *directory, const struct p9_entry *entry,
		      struct entry_sink *sink)
{
	struct file unknown = {.number = entry->identity.path, .mode = (uint32_t)entry->type << 12};
	struct file *file;
	if (name_is(entry->name, ".") || name_is(entry->name, ".."))
		return true;
	if (!p9_name_find(directory, entry->name, &file) || file == NULL)
		file = &unknown;
	return sink->put(sink, entry->name, file, entry->next);
}

/* One piece of the listing from `*position` on: 1: there may be more; 0: all done; or an error. */
static int list_piece(struct p9_file *directory, struct p9_listing *listing, uint64_t *position,
		      struct entry_sink *sink)
{
	struct p9_entry entry;
	int error = p9fs_open(directory, false);
	if (error == 0)
		error = p9_readdir(listing, p9_session_of(directory), directory->opened, *position);
	if (error != 0)
		return error;
	if (listing->call.end == 0) {
		directory->end = *position;
		p9fs_close(directory);
		return 0;
	}
	while (p9_next_entry(listing, &entry)) {
		if (!put_entry(directory, &entry, sink))
			return 0;
		*position = entry.next;
	}
	return listing->call.malformed ? -EIO : 1;
}

static int directory_entries(struct file *file, uint64_t position, struct entry_sink *sink)
{
	struct p9_file *directory = p9_file_of(file);
	int more = 1;
	if (position == 0)
		directory->end = UINT64_MAX;
	if (position < directory->end) {
		physical_t frames = frame_allocate(LISTING_ORDER, 0);
		if (frames == FRAME_NONE)
			return -ENOMEM;
		struct p9_listing listing = {
			.buffer = phys_to_virt(frames),
			.size = PAGE_SIZE << LISTING_ORDER,
		};
		while (more > 0)
			more = list_piece(directory, &listing, &position, sink);
		frame_free(frames, LISTING_ORDER);
	}
	if (more >= 0 && position >= directory->end)
		p9_names_pinned(directory, position, sink);
	return more < 0 ? more : 0;
}

/* ---- Changing ---- */

/* Whether an entry is the guest's alone. */
static bool is_pinned(const struct file *directory, const struct file *file)
{
	return file->system != directory->system;
}

/* The host has made the name: find out what it means now. */
static int made_here(struct p9_file *directory, struct name name, struct file **made)
{
	struct p9_attributes attributes;
	uint32_t fid;
	directory->stale = true;
	int error = p9_walk(p9_session_of(directory), directory->fid, name, &fid, &attributes);
	if (error == 0)
		error = p9fs_found(directory, fid, &attributes, made);
	if (error == 0)
		p9_name_set(directory, name, *made);
	return error;
}

static int create_regular(struct p9_file *directory, struct name name, const struct creation *what,
			  struct file **made)
{
	struct p9_session *session = p9_session_of(directory);
	uint32_t opened;
	int error = p9_create(session, directory->fid, name, O_RDWR | O_EXCL,
			      what->mode & S_IALLUGO, &opened);
	if (error != 0)
		return error;
	error = made_here(directory, name, made);
	if (error == 0)
		p9fs_opened(p9_file_of(*made), opened);
	else
		p9_clunk(session, opened);
	return error;
}

static int directory_create(struct file *file, struct name name, const struct creation *what,
			    struct file **made)
{
	struct p9_file *directory = p9_file_of(file);
	if (S_ISREG(what->mode))
		return create_regular(directory, name, what, made);
	int error = p9_make(p9_session_of(directory), directory->fid, name, what);
	return error == 0 ? made_here(directory, name, made) : error;
}

static int directory_link(struct file *file, struct name name, struct file *target)
{
	struct p9_file *directory = p9_file_of(file), *own = p9_file_of(target);
	int error = p9_link(p9_session_of(directory), directory->fid, name, own->fid);
	if (error != 0)
		return error;
	target->links++;
	own->stale = directory->stale = true;
	p9_name_set(directory, name, target);
	return 0;
}

static int directory_unlink(struct file *file, struct name name, struct file *target)
{
	struct p9_file *directory = p9_file_of(file), *own = p9_file_of(target);
	if (is_pinned(file, target))
		return -EBUSY;
	p9fs_before_unlink(own);
	int error = p9_unlink(p9_session_of(directory), directory->fid, name,
			      S_ISDIR(target->mode));
	if (error != 0)
		return error;
	p9fs_unlinked(own);
	directory->stale = true;
	p9_name_set(directory, name, NULL);
	return 0;
}

static int directory_rename(struct file *from, struct name name, struct file *file,
			    struct file *to, struct name to_name, struct file *replaced,
			    bool exchange)
{
	struct p9_file *source = p9_file_of(from), *target = p9_file_of(to);
	if (is_pinned(from, file) || (replaced != NULL && is_pinned(from, replaced)))
		return -EBUSY;
	if (exchange)
		return -EINVAL;
	if (replaced != NULL)
		p9fs_before_unlink(p9_file_of(replaced));
	int error = p9_rename(p9_session_of(source), source->fid, name, target->fid, to_name);
	if (error != 0)
		return error;
	if (replaced != NULL)
		p9fs_unlinked(p9_file_of(replaced));
	p9_name_set(target, to_name, file);
	p9_name_set(source, name, NULL);
	if (S_ISDIR(file->mode) && from != to) {
		file->parent = file_get(to);
		file_put(from);
	}
	p9_file_of(file)->stale = source->stale = target->stale = true;
	return 0;
}

/* ---- Symbolic links ---- */

static int64_t link_target(struct file *file, char *buffer, size_t size)
{
	struct p9_file *link = p9_file_of(file);
	return p9_readlink(p9_session_of(link), link->fid, buffer, size);
}

const struct file_operations p9fs_link_operations = {
	.target = link_target,
	.refresh = p9fs_refresh,
	.change = p9fs_change,
};

const struct file_operations p9fs_directory_operations = {
	.lookup = directory_lookup,
	.entries = directory_entries,
	.create = directory_create,
	.link = directory_link,
	.unlink = directory_unlink,
	.rename = directory_rename,
	.refresh = p9fs_refresh,
	.change = p9fs_change,
	.sync = p9fs_sync,
};
