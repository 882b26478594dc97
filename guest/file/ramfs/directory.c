/* Directories of ramfs.
 *
 * Entries form a list from the newest to the oldest, which is the order in which they are read.
 * Each has a position that never comes back, so a reading that stopped behind an entry goes on in
 * the right place whatever was added or removed since. A large directory also has a hash table.
 */
#include <calypso/lib.h>
#include <file/ramfs/ramfs.h>

/* What each entry adds to the size of a directory, as tmpfs counts. */
#define ENTRY_SIZE 20

/* From this many entries on a search goes through buckets; as many buckets as entries. */
#define ENTRIES_WITH_BUCKETS 16

static struct ramfs_directory *directory_of(struct file *file)
{
	return container_of(file, struct ramfs_directory, file);
}

/* FNV-1a. */
static uint32_t hash_of(struct name name)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < name.length; i++)
		hash = (hash ^ (uint8_t)name.bytes[i]) * 16777619u;
	return hash;
}

static struct ramfs_entry **bucket_of(struct ramfs_directory *directory, uint32_t hash)
{
	return &directory->buckets[hash & (directory->bucket_count - 1)];
}

static struct ramfs_entry *find(struct ramfs_directory *directory, struct name name)
{
	uint32_t hash = hash_of(name);
	bool chained = directory->buckets != NULL;
	struct ramfs_entry *entry = chained ? *bucket_of(directory, hash) : directory->newest;
	while (entry != NULL) {
		if (entry->hash == hash && entry->length == name.length &&
		    memcmp(entry->name, name.bytes, name.length) == 0)
			return entry;
		entry = chained ? entry->chain : entry->older;
	}
	return NULL;
}

/* Make as many buckets as entries, when there are enough of those. Without memory the search
 * stays as slow as it was. */
static void spread(struct ramfs_directory *directory)
{
	uint32_t count = directory->bucket_count == 0 ? ENTRIES_WITH_BUCKETS
						      : directory->bucket_count * 4;
	struct ramfs_entry **buckets = kcalloc(count, sizeof(struct ramfs_entry *));
	if (buckets == NULL)
		return;
	kfree(directory->buckets);
	directory->buckets = buckets;
	directory->bucket_count = count;
	for (struct ramfs_entry *entry = directory->newest; entry != NULL; entry = entry->older) {
		struct ramfs_entry **bucket = bucket_of(directory, entry->hash);
		entry->chain = *bucket;
		*bucket = entry;
	}
}

static struct ramfs_entry *make_entry(struct name name, struct file *file)
{
	struct ramfs_entry *entry = kmalloc(sizeof(*entry) + name.length);
	if (entry == NULL)
		return NULL;
	entry->file = file;
	entry->hash = hash_of(name);
	entry->length = (uint32_t)name.length;
	memcpy(entry->name, name.bytes, name.length);
	return entry;
}

static void attach(struct ramfs_directory *directory, struct ramfs_entry *entry)
{
	entry->position = ++directory->last_position;
	entry->newer = NULL;
	entry->older = directory->newest;
	if (entry->older != NULL)
		entry->older->newer = entry;
	directory->newest = entry;
	directory->entry_count++;
	directory->file.size += ENTRY_SIZE;

	if (directory->buckets != NULL) {
		struct ramfs_entry **bucket = bucket_of(directory, entry->hash);
		entry->chain = *bucket;
		*bucket = entry;
	}
	if (directory->entry_count >= ENTRIES_WITH_BUCKETS &&
	    directory->entry_count > directory->bucket_count)
		spread(directory);
}

static void detach(struct ramfs_directory *directory, struct ramfs_entry *entry)
{
	if (entry->newer != NULL)
		entry->newer->older = entry->older;
	else
		directory->newest = entry->older;
	if (entry->older != NULL)
		entry->older->newer = entry->newer;
	directory->entry_count--;
	directory->file.size -= ENTRY_SIZE;

	if (directory->buckets == NULL)
		return;
	struct ramfs_entry **link = bucket_of(directory, entry->hash);
	while (*link != entry)
		link = &(*link)->chain;
	*link = entry->chain;
}

/* What a directory's own links and parent become when it gets into, or out of, `parent`. */
static void adopt(struct file *parent, struct file *file)
{
	if (!S_ISDIR(file->mode))
		return;
	file->parent = file_get(parent);
	parent->links++;
}

static void disown(struct file *parent, struct file *file)
{
	if (S_ISDIR(file->mode))
		parent->links--;
}

static int directory_lookup(struct file *file, struct name name, struct file **found)
{
	struct ramfs_entry *entry = find(directory_of(file), name);
	if (entry == NULL)
		return -ENOENT;
	*found = file_get(entry->file);
	return 0;
}

static int directory_entries(struct file *file, uint64_t position, struct entry_sink *sink)
{
	struct ramfs_entry *entry = directory_of(file)->newest;
	while (position != 0 && entry != NULL && entry->position >= position)
		entry = entry->older;
	for (; entry != NULL; entry = entry->older) {
		struct name name = {entry->name, entry->length};
		if (!sink->put(sink, name, entry->file, entry->position))
			break;
	}
	return 0;
}

static int directory_create(struct file *file, struct name name, const struct creation *what,
			    struct file **made)
{
	struct file *child = ramfs_make(what, file_now());
	if (child == NULL)
		return -ENOMEM;
	struct ramfs_entry *entry = make_entry(name, child);
	if (entry == NULL) {
		file_put(child);
		return -ENOMEM;
	}
	attach(directory_of(file), entry);
	adopt(file, child);
	file_modified(file);
	*made = file_get(child);
	return 0;
}

static int directory_link(struct file *file, struct name name, struct file *target)
{
	struct ramfs_entry *entry = make_entry(name, file_get(target));
	if (entry == NULL) {
		file_put(target);
		return -ENOMEM;
	}
	attach(directory_of(file), entry);
	target->links++;
	file_changed(target);
	file_modified(file);
	return 0;
}

/* Take away the entry with the reference that it holds. */
static void drop(struct ramfs_directory *directory, struct ramfs_entry *entry)
{
	struct file *file = entry->file;
	detach(directory, entry);
	kfree(entry);
	disown(&directory->file, file);
	file->links -= S_ISDIR(file->mode) ? 2 : 1;
	file_changed(file);
	file_put(file);
}

static int directory_unlink(struct file *file, struct name name, struct file *target)
{
	if (S_ISDIR(target->mode) && directory_of(target)->newest != NULL)
		return -ENOTEMPTY;
	drop(directory_of(file), find(directory_of(file), name));
	file_modified(file);
	return 0;
}

/* `file` moved from one parent to another. */
static void move(struct file *from, struct file *to, struct file *file)
{
	if (S_ISDIR(file->mode) && from != to) {
		disown(from, file);
		struct file *parent = file->parent;
		adopt(to, file);
		file_put(parent);
	}
	file_changed(file);
}

static void exchange_entries(struct file *from, struct ramfs_entry *entry, struct file *to,
			     struct ramfs_entry *other)
{
	struct file *file = entry->file;
	entry->file = other->file;
	other->file = file;
	move(from, to, other->file);
	move(to, from, entry->file);
}

static int directory_rename(struct file *from, struct name name, struct file *file,
			    struct file *to, struct name to_name, struct file *replaced,
			    bool exchange)
{
	struct ramfs_entry *old = find(directory_of(from), name);
	struct ramfs_entry *other = replaced == NULL ? NULL : find(directory_of(to), to_name);
	if (exchange) {
		exchange_entries(from, old, to, other);
	} else {
		if (replaced != NULL && S_ISDIR(replaced->mode) &&
		    directory_of(replaced)->newest != NULL)
			return -ENOTEMPTY;
		struct ramfs_entry *entry = make_entry(to_name, file);
		if (entry == NULL)
			return -ENOMEM;
		if (other != NULL)
			drop(directory_of(to), other);
		detach(directory_of(from), old);
		kfree(old);
		attach(directory_of(to), entry);
		move(from, to, file);
	}
	file_modified(from);
	file_modified(to);
	return 0;
}

void ramfs_directory_clear(struct ramfs_directory *directory) { kfree(directory->buckets); }

const struct file_operations ramfs_directory_operations = {
	.lookup = directory_lookup,
	.entries = directory_entries,
	.create = directory_create,
	.create_nameless = ramfs_create_nameless,
	.link = directory_link,
	.unlink = directory_unlink,
	.rename = directory_rename,
};
