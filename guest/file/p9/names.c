/* What is known of names in directories of the host.
 *
 * A name is kept with what it means, a file or nothing, until there are too many: then the one that
 * was not asked for the longest goes, if nobody uses its file. Names of one directory form a list;
 * all of them form a hash table.
 */
#include <calypso/lib.h>
#include <file/p9/p9fs.h>

#define NAMES_MAX 4096
#define BUCKETS 1024

/* Old names that are looked at to find one that can go. */
#define TRIES 16

/* Positions of pinned names, which follow all others, when a directory is read. */
#define PINNED_POSITION (1ull << 62)

struct p9_name {
	struct p9_name *chain;	       /* of the same bucket */
	struct p9_name *newer, *older; /* of all */
	struct p9_name *next;	       /* of the same directory */
	struct p9_file *directory;
	struct file *file; /* a reference, or NULL */
	bool pinned;
	uint32_t hash;
	uint32_t length;
	char bytes[];
};

static struct {
	struct p9_name **buckets; /* made with the first name */
	struct p9_name *newest, *oldest;
	unsigned count;
} names;

/* FNV-1a. */
static uint32_t hash_of(const struct p9_file *directory, struct name name)
{
	uint32_t hash = 2166136261u ^ (uint32_t)directory->file.number;
	for (size_t i = 0; i < name.length; i++)
		hash = (hash ^ (uint8_t)name.bytes[i]) * 16777619u;
	return hash;
}

/* ---- Lists ---- */

static void add_newest(struct p9_name *entry)
{
	entry->newer = NULL;
	entry->older = names.newest;
	if (names.newest != NULL)
		names.newest->newer = entry;
	else
		names.oldest = entry;
	names.newest = entry;
}

static void remove_from_age(struct p9_name *entry)
{
	if (entry->newer != NULL)
		entry->newer->older = entry->older;
	else
		names.newest = entry->older;
	if (entry->older != NULL)
		entry->older->newer = entry->newer;
	else
		names.oldest = entry->newer;
}

static struct p9_name *find(const struct p9_file *directory, struct name name)
{
	uint32_t hash = hash_of(directory, name);
	if (names.buckets == NULL)
		return NULL;
	struct p9_name *entry = names.buckets[hash % BUCKETS];
	while (entry != NULL &&
	       (entry->hash != hash || entry->directory != directory ||
		entry->length != name.length || memcmp(entry->bytes, name.bytes, name.length) != 0))
		entry = entry->chain;
	return entry;
}

/* ---- Making and dropping ---- */

static void drop(struct p9_name *entry)
{
	struct p9_name **link = &names.buckets[entry->hash % BUCKETS];
	while (*link != entry)
		link = &(*link)->chain;
	*link = entry->chain;

	link = &entry->directory->names;
	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;

	remove_from_age(entry);
	names.count--;
	file_put(entry->file);
	kfree(entry);
}

static bool can_go(const struct p9_name *entry)
{
	const struct file *file = entry->file;
	if (entry->pinned)
		return false;
	if (file == NULL)
		return true;
	bool holds_names = S_ISDIR(file->mode) && p9_file_of(file)->names != NULL;
	return file->references == 1 && file->mounted == NULL && !holds_names;
}

static void make_room(void)
{
	struct p9_name *entry = names.oldest;
	for (unsigned tries = 0; tries < TRIES && entry != NULL; tries++) {
		struct p9_name *newer = entry->newer;
		if (can_go(entry)) {
			drop(entry);
			return;
		}
		/* It is in use, and so will the next ones be: let it be looked at last. */
		remove_from_age(entry);
		add_newest(entry);
		entry = newer;
	}
}

static struct p9_name *make(struct p9_file *directory, struct name name)
{
	if (names.buckets == NULL)
		names.buckets = kcalloc(BUCKETS, sizeof(struct p9_name *));
	struct p9_name *entry =
		names.buckets == NULL ? NULL : kcalloc(1, sizeof(*entry) + name.length);
	if (entry == NULL)
		return NULL;
	entry->directory = directory;
	entry->hash = hash_of(directory, name);
	entry->length = (uint32_t)name.length;
	memcpy(entry->bytes, name.bytes, name.length);
	entry->chain = names.buckets[entry->hash % BUCKETS];
	names.buckets[entry->hash % BUCKETS] = entry;
	entry->next = directory->names;
	directory->names = entry;
	add_newest(entry);
	names.count++;
	return entry;
}

bool p9_name_find(struct p9_file *directory, struct name name, struct file **file)
{
	struct p9_name *entry = find(directory, name);
	if (entry == NULL)
		return false;
	if (entry != names.newest) {
		remove_from_age(entry);
		add_newest(entry);
	}
	*file = entry->file;
	return true;
}

void p9_name_set(struct p9_file *directory, struct name name, struct file *file)
{
	struct p9_name *entry = find(directory, name);
	if (entry == NULL && names.count >= NAMES_MAX)
		make_room();
	if (entry == NULL)
		entry = make(directory, name);
	if (entry == NULL)
		return;
	struct file *before = entry->file;
	entry->file = file == NULL ? NULL : file_get(file);
	file_put(before);
}

int p9fs_pin(struct file *directory, const char *text, struct file *file)
{
	struct name name = {text, strlen(text)};
	p9_name_set(p9_file_of(directory), name, file);
	struct p9_name *entry = find(p9_file_of(directory), name);
	if (entry == NULL)
		return -ENOMEM;
	entry->pinned = true;
	return 0;
}

void p9_names_pinned(struct p9_file *directory, uint64_t position, struct entry_sink *sink)
{
	uint64_t next = PINNED_POSITION;
	for (const struct p9_name *entry = directory->names; entry != NULL; entry = entry->next) {
		struct name name = {entry->bytes, entry->length};
		if (!entry->pinned)
			continue;
		if (next++ >= position && !sink->put(sink, name, entry->file, next))
			return;
	}
}

void p9_names_forget(struct p9_file *directory)
{
	while (directory->names != NULL)
		drop(directory->names);
}
