/* What a path or a descriptor is relative to. A program has one; so will each task that the host
 * runs services in.
 */
#ifndef FILE_CONTEXT_H
#define FILE_CONTEXT_H

#include <file/descriptor.h>

struct file_context {
	struct file *root;    /* NULL: the root of all files, which is then made when needed */
	struct file *working; /* NULL: the root */
	uint32_t umask;
	struct descriptor_table descriptors;
};

/* The context of the running program. */
struct file_context *file_context(void);

/* Its root and working directory, borrowed; NULL where there is no memory to make a root. */
struct file *context_root(struct file_context *context);
struct file *context_working(struct file_context *context);

/* The root of all files: the initrd's content, /dev and /proc. Made at the first call, so that
 * programs that never name a file do not pay for it. NULL without memory. */
struct file *root_directory(void);

#endif
