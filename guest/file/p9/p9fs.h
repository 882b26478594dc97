/* Directories of the host as file systems, by 9P.
 *
 *   p9fs.c       files: found again by the host's identity, opened, released; mounting
 *   names.c      what is known of names: a cache of lookups, also of those that failed
 *   directory.c  operations of directories and symbolic links
 *   data.c       operations of regular files, and the cache of their pages
 *
 * The directory belongs to the guest while it runs: what was seen of it stays true until the guest
 * itself changes it.
 */
#ifndef FILE_P9_P9FS_H
#define FILE_P9_P9FS_H

#include <file/p9/p9.h>
#include <file/page_map.h>

/* A device's directory, mounted under `tag`: its root, or NULL where there is no such device, or it
 * cannot be used. */
struct file *p9fs_mount(const char *tag, size_t length);

/* The tag of the `index`th device: its length; -ENODEV past the last. */
int p9fs_tag(unsigned index, char *tag, size_t size);

/* Let a name in a directory mean `file`, of whatever file system, until the machine ends. */
int p9fs_pin(struct file *directory, const char *name, struct file *file);

/* ---- Inside ---- */

#define P9FS_BUCKETS 256

struct p9_file_system {
	struct file_system system;
	struct p9_session session;
	struct p9_file *buckets[P9FS_BUCKETS]; /* all files, by identity */
};

struct p9_file {
	struct file file;
	struct p9_file_system *mount;
	struct p9_file *chain; /* of the same bucket */
	uint32_t fid;	       /* means the file; never opened */
	uint32_t opened;       /* opened for reading, and for writing if... */
	bool writable;	       /* ...this is set; P9_NO_FID: not open on the host */
	bool nameless;	       /* the host cannot find it any more but by `opened` */
	bool stale;	       /* the host knows newer attributes */
	struct p9_file *newer, *older; /* among those open on the host */

	/* Of a directory */
	struct p9_name *names;
	uint64_t end; /* position behind its last entry, once that is known */

	/* Of a regular file */
	struct page_map pages;
	struct page_source source;
	uint64_t users; /* mappings, and copies at work: no page may go */
	struct p9_file *filled_later, *filled_earlier; /* among those with pages */
};

static inline struct p9_file *p9_file_of(const struct file *file)
{
	return container_of(file, struct p9_file, file);
}

static inline struct p9_session *p9_session_of(const struct p9_file *file)
{
	return &file->mount->session;
}

extern const struct file_operations p9fs_directory_operations;
extern const struct file_operations p9fs_link_operations;
extern const struct file_operations p9fs_regular_operations;

/* The file that `fid` was walked to, which is a new fid; `directory` is where. */
int p9fs_found(struct p9_file *directory, uint32_t fid, const struct p9_attributes *attributes,
	       struct file **found);

/* Have it open on the host, for writing if asked for. */
int p9fs_open(struct p9_file *file, bool writable);

/* The host has opened it by a new fid, for reading and writing. */
void p9fs_opened(struct p9_file *file, uint32_t opened);

/* Close it on the host. */
void p9fs_close(struct p9_file *file);

/* It loses a name. Before, what somebody still uses is opened, as the host finds it by names. */
void p9fs_before_unlink(struct p9_file *file);
void p9fs_unlinked(struct p9_file *file);

void p9fs_refresh(struct file *file);
int p9fs_change(struct file *file, const struct file_change *change);
int p9fs_sync(struct file *file);

/* ---- Names (names.c) ---- */

struct p9_name;

/* Whether it is known what the name means; `*file` is borrowed, NULL where it means nothing. */
bool p9_name_find(struct p9_file *directory, struct name name, struct file **file);

/* Take note of what it means, in place of what was known. */
void p9_name_set(struct p9_file *directory, struct name name, struct file *file);

/* Report names that only the guest knows of. */
void p9_names_pinned(struct p9_file *directory, uint64_t position, struct entry_sink *sink);

/* The directory goes. */
void p9_names_forget(struct p9_file *directory);

/* ---- Pages (data.c) ---- */

/* Give all pages back. */
void p9_pages_forget(struct p9_file *file);

#endif
