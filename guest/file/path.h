/* Paths: from names to files. */
#ifndef FILE_PATH_H
#define FILE_PATH_H

#include <file/context.h>

/* Symbolic links that one walk follows before it gives up with ELOOP. */
#define PATH_LINKS_MAX 40

enum path_flag {
	PATH_FOLLOW = 1u << 0, /* also where the last component is a symbolic link */
	PATH_ENTRY = 1u << 1,  /* the entry itself, and leave a trailing slash to the caller */
};

/* What a walk may not do; values are those of openat2(2). */
enum path_resolve {
	PATH_NO_MOUNTS = 0x01,	    /* into another file system */
	PATH_NO_MAGIC_LINKS = 0x02, /* through links that no text describes (/proc/self/exe) */
	PATH_NO_LINKS = 0x04,
	PATH_BENEATH = 0x08, /* out of where it started */
	PATH_IN_ROOT = 0x10, /* see anything outside: where it started is the root */
	PATH_RESOLVE_ALL = 0x1f,
};

/* A walk along a path. Between the steps, `directory` holds everything but the last component:
 *
 *	struct path_walk walk;
 *	int error = path_begin(&walk, context, start, "/a/b/c");
 *	if (error == 0)
 *		error = path_last(&walk, PATH_FOLLOW, &file);
 *	...				// walk.absent: walk.directory has no walk.last yet
 *	path_end(&walk);
 */
struct path_walk {
	struct file_context *context;
	struct file *directory; /* where the last component is looked up; a reference */
	struct name last;	/* empty for a path of slashes only */
	bool trailing_slash;	/* the last component must be a directory */
	bool absent;		/* the last component is a name that can be made */
	const char *rest;	/* what was not walked yet */
	char *buffer;		/* holds `rest` once a link was followed; from the heap */
	unsigned links;		/* followed so far */
	struct file *jump;	/* the last component: a link that no text describes; a reference */
	unsigned resolve;	/* enum path_resolve */
	struct file *top;	/* where it started, for PATH_BENEATH and PATH_IN_ROOT; borrowed */
};

/* Walk up to the last component. `path` stays the caller's until path_end, which is called after
 * success only. `start` is where a relative path starts; NULL: the working directory. */
int path_begin(struct path_walk *walk, struct file_context *context, struct file *start,
	       const char *path);

/* The same with limits: -EXDEV, or -ELOOP for links, where the path would go beyond them. */
int path_begin_within(struct path_walk *walk, struct file_context *context, struct file *start,
		      const char *path, unsigned resolve);

/* Find the last component. -ENOENT may mean that it is absent, or a directory on the way to where
 * a link leads. */
int path_last(struct path_walk *walk, unsigned flags, struct file **found);

void path_end(struct path_walk *walk);

/* Make an entry of the type in what->mode, whose permissions umask has yet to cut, where the last
 * component is absent; `*made` is the new file. */
int path_create(struct path_walk *walk, struct creation *what, struct file **made);

/* The path of what path_last has found, without links: its length with the NUL. Errors of path_of. */
int64_t path_of_found(const struct path_walk *walk, char *buffer, size_t size);

/* All three for those who only look. */
int path_find(struct file_context *context, struct file *start, const char *path, unsigned flags,
	      struct file **found);

/* Whether the last component is a name that an entry can have: not "", "." or "..". */
bool path_last_is_name(const struct path_walk *walk);

/* The path of a directory from the context's root: its length with the NUL; -ERANGE where `size`
 * is too small; -ENOENT where the directory was removed. */
int64_t path_of(struct file_context *context, struct file *directory, char *buffer, size_t size);

/* The same of a file that has a name in a directory. */
int64_t path_of_entry(struct file_context *context, struct file *directory,
		      const struct file *file, char *buffer, size_t size);

/* The name that a file has in a directory: its length, and it ends with a NUL; -ENOENT. */
int path_name_in(struct file *directory, const struct file *file, char name[NAME_MAX + 1]);

/* Whether this is the root of a file system that covers a directory. */
bool path_is_mounted(const struct file *file);

/* The mounts below the root, by age: the root of the file system and where it is ("?" where that is
 * too long to tell). False past the last. */
struct path_mounted {
	struct file *root;
	char path[NAME_MAX + 1];
};
bool path_mounted(unsigned index, struct path_mounted *mounted);

/* Cover a directory with the root of another file system, for good. */
void path_mount(struct file *covered, struct file *root);

#endif
