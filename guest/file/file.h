/* Files: what names, descriptors and mappings lead to.
 *
 * A `struct file` is the state that all who have the file open share: attributes, references,
 * and a table of operations. It belongs to a file system, which embeds it in an object of its
 * own. Everything open has one, also what has no name (a terminal, the end of a pipe).
 * `struct open_file` (open_file.h) is what open() makes of it: position and flags.
 *
 * References: whoever keeps a pointer holds one. A directory holds one on each entry, and each
 * directory one on its parent. Functions that hand out a file through `**found` or `**made` hand
 * out a reference with it.
 *
 * Errors are negative errno values throughout.
 */
#ifndef FILE_FILE_H
#define FILE_FILE_H

#include <calypso/errno.h>
#include <calypso/mm.h>
#include <uapi/stat.h>

struct file;
struct io;
struct poll_state;
struct inotify_watch;

/* One component of a path: no slash, no NUL, not empty. Not terminated. */
struct name {
	const char *bytes;
	size_t length;
};

/* What `create` is to make. */
struct creation {
	uint32_t mode;	    /* type and permission bits */
	uint32_t user, group;
	uint64_t device;    /* of a character or block device */
	const char *target; /* of a symbolic link */
	size_t target_length;
};

/* Receives the entries of a directory; says whether it wants more. `next` is the position at
 * which a later reading goes on behind this entry. */
struct entry_sink {
	bool (*put)(struct entry_sink *sink, struct name name, const struct file *file,
		    uint64_t next);
};

/* What of a file's attributes is about to change. */
enum file_change_what {
	FILE_CHANGE_MODE = 1u << 0, /* permission bits */
	FILE_CHANGE_USER = 1u << 1,
	FILE_CHANGE_GROUP = 1u << 2,
	FILE_CHANGE_ACCESSED = 1u << 3,
	FILE_CHANGE_MODIFIED = 1u << 4,
};

struct file_change {
	unsigned what; /* enum file_change_what */
	uint32_t mode, user, group;
	int64_t accessed, modified; /* ns since 1970 */
};

/* The one table that a kind of file fills in. What is absent fails as Linux has it for files that
 * cannot do the thing (noted behind each). */
struct file_operations {
	/* ---- Data ---- */

	/* Transfer up to io->remaining bytes at `offset`; what was transferred is gone from `io`.
	 * `flags` are those of the open file. 0 or an error; an error after some bytes is told
	 * by the next call. A read that transfers nothing is the end of the file. (EINVAL) */
	int (*read)(struct file *file, struct io *io, uint64_t offset, unsigned flags);
	int (*write)(struct file *file, struct io *io, uint64_t offset, unsigned flags);

	/* Set the size; new bytes are zero. (EINVAL) */
	int (*resize)(struct file *file, uint64_t size);

	/* The first byte of data, or of a hole, at or behind `offset` < size. (all is data) */
	uint64_t (*seek_extent)(struct file *file, uint64_t offset, bool hole);

	/* Make the bytes of a range zero and give their memory back. (EOPNOTSUPP) */
	int (*punch)(struct file *file, uint64_t offset, uint64_t length);

	/* ioctl: the result or an error. (ENOTTY) */
	int64_t (*control)(struct file *file, unsigned request, user_t argument);

	/* POLL* events that hold now for an open file with these flags. What changes them tells
	 * file->poll_state. (always readable and writable) */
	unsigned (*poll)(struct file *file, unsigned flags);

	/* Where mappings get their pages from; NULL where it cannot be so shared. (ENODEV) */
	struct page_source *(*pages)(struct file *file, bool shared);

	/* The file is being opened; may refuse, and may wait. (nothing to do) */
	int (*open)(struct file *file, unsigned flags);

	/* An open file of these flags is gone, with its last reference. (nothing to do) */
	void (*close)(struct file *file, unsigned flags);

	/* Bring attributes up to date before they are shown. (they always are) */
	void (*refresh)(struct file *file);

	/* Attributes are about to change; may refuse. (nothing to do) */
	int (*change)(struct file *file, const struct file_change *change);

	/* Make what was written outlast a loss of power. (nothing to do) */
	int (*sync)(struct file *file);

	/* ---- Directories: all of them for a file of type S_IFDIR ---- */

	int (*lookup)(struct file *directory, struct name name, struct file **found);

	/* Report entries from `position` on, which is 0 at first. "." and ".." are not among
	 * them. */
	int (*entries)(struct file *directory, uint64_t position, struct entry_sink *sink);

	/* The name is not there yet; (EPERM) where the directory is not for programs to change. */
	int (*create)(struct file *directory, struct name name, const struct creation *what,
		      struct file **made);
	/* A file without a name; of its file system. (EOPNOTSUPP) */
	int (*create_nameless)(struct file *directory, const struct creation *what,
			       struct file **made);
	int (*link)(struct file *directory, struct name name, struct file *file);

	/* `file` is what the name stands for. A directory must be empty. */
	int (*unlink)(struct file *directory, struct name name, struct file *file);

	/* Give `file`, known as `name` in `directory`, the name `to_name` in `to`. `replaced` is
	 * what has that name now, or NULL; with `exchange` both change places. All of one file
	 * system, types and ancestry checked. */
	int (*rename)(struct file *directory, struct name name, struct file *file, struct file *to,
		      struct name to_name, struct file *replaced, bool exchange);

	/* ---- Symbolic links ---- */

	/* Copy the target, cut to `size`, without a NUL: its length. */
	int64_t (*target)(struct file *link, char *buffer, size_t size);

	/* Go straight to a file, whatever the target's text says (/proc/self/exe). With NULL in
	 * `*found` the text counts after all. (the text always counts) */
	int (*follow)(struct file *link, struct file **found);
};

/* The room of a file system, in blocks, and how many files it has and may still have. */
struct file_space {
	uint64_t block_size; /* bytes */
	uint64_t blocks, free, available;
	uint64_t files, free_files;
};

struct file_system {
	const char *name;      /* as in /proc/mounts */
	const char *label;     /* how /proc/self/fd names its files that have no path: whole with
				* a colon in it, else "label:[number]"; NULL: "file:[number]" */
	uint64_t device;       /* st_dev */
	uint64_t magic;	       /* f_type of statfs */
	bool read_only;	       /* nothing of it can be changed */
	bool of_process;       /* is about the process, which may read it whoever it is */
	void (*release)(struct file *file); /* no reference is left: free it */
	/* Tell the room of the file system that has `file`. (pages, and none of them) */
	int (*space)(struct file *file, struct file_space *space);
};

struct file {
	const struct file_operations *operations;
	const struct file_system *system;
	uint32_t references;
	uint32_t mode; /* S_IFMT and permission bits */
	uint32_t links;
	uint32_t shared_locks; /* of flock(2), by open files */
	bool exclusive_lock;
	bool can_be_linked; /* though it has no name (O_TMPFILE) */
	uint32_t user;
	uint32_t group;
	uint64_t number; /* st_ino */
	uint64_t device; /* st_rdev */
	uint64_t size;	 /* bytes */
	uint64_t blocks; /* of 512 bytes */
	struct inotify_watch *watches; /* of inotify(7) */
	struct poll_state *poll_state; /* who is told of events; NULL: they never change */
	int64_t accessed, modified, changed, created; /* ns since 1970 */
	struct file *parent;  /* of a directory: where ".." leads; itself at the root */
	struct file *mounted; /* on a directory: root of the file system that covers it */
};

static inline struct file *file_get(struct file *file)
{
	file->references++;
	return file;
}

/* Give a reference back; NULL is allowed. */
void file_put(struct file *file);

/* Fill in a new file: one reference, one link, of the superuser, all its times `now`. */
void file_initialize(struct file *file, const struct file_system *system,
		     const struct file_operations *operations, uint32_t mode, int64_t now);

/* Now, as file times count it; and when the machine started, which costs nothing to ask. */
int64_t file_now(void);
int64_t file_start_time(void);

/* The file was read (its access time follows as with Linux's "relatime"), its content changed,
 * its attributes changed. */
void file_accessed(struct file *file);
void file_modified(struct file *file);
void file_changed(struct file *file);

/* Change size, with the checks that every resize needs. */
int file_resize(struct file *file, uint64_t size);

static inline bool name_is(struct name name, const char *text)
{
	size_t i = 0;
	while (i < name.length && text[i] != '\0' && text[i] == name.bytes[i])
		i++;
	return i == name.length && text[i] == '\0';
}

#endif
