/* What the calls on paths share: from the program's arguments to files. */
#ifndef PROCESS_CALLS_AT_H
#define PROCESS_CALLS_AT_H

#include <file/path.h>
#include <process/syscall.h>

/* Copy a path of the program: a buffer for kfree, or an error. */
int at_copy_path(user_t address, char **path);

/* A walk along a path of the program from a directory's descriptor (or AT_FDCWD). */
struct at_walk {
	struct path_walk walk;
	char *path;
};
int at_begin(struct at_walk *at, int directory, user_t path);
int at_begin_within(struct at_walk *at, int directory, user_t path, unsigned resolve);
void at_end(struct at_walk *at);

/* Find the file that a call means, by `flags` of AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH. */
int at_find(int directory, user_t path, int flags, struct file **found);

/* Whether a path of the program is "" or no path at all. */
bool at_path_is_empty(user_t path);

/* The open file of a descriptor, borrowed; NULL: -EBADF. Those opened with O_PATH do not count. */
struct open_file *at_open_file(int number);

/* Make an entry of the type in what->mode, whose permissions umask has yet to cut. 0 or an error.
 */
int at_create(int directory, user_t path, struct creation *what);

#endif
