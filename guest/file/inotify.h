/* Inotify: being told of what happens to files, and in directories.
 *
 * A watch belongs to an instance and to a file, and ends with either. What happens to a file is told
 * to its own watches, and with its name to those of the directory in which it was opened, made,
 * removed or renamed. While nobody watches anything, telling costs one comparison.
 */
#ifndef FILE_INOTIFY_H
#define FILE_INOTIFY_H

#include <file/open_file.h>
#include <uapi/inotify.h>

struct inotify;

/* A new instance as a file; NULL without memory. */
struct file *inotify_make(void);

/* The instance that a file is, or NULL. */
struct inotify *inotify_of(struct file *file);

/* Watch a file for the events of a mask: the watch's number, the old one where the file is watched
 * already; -EEXIST with IN_MASK_CREATE then; -ENOMEM. */
int inotify_add(struct inotify *inotify, struct file *file, uint32_t mask);

/* End a watch: 0, or -EINVAL where there is none of this number. */
int inotify_remove(struct inotify *inotify, int number);

/* ---- Telling ---- */

extern unsigned inotify_watches;

/* Something happened to a file. */
void inotify_tell_file(struct file *file, uint32_t event);

/* Something happened to what has this name in a directory, and this mode. */
void inotify_tell_entry(struct file *directory, struct name name, uint32_t mode, uint32_t event,
			uint32_t cookie);

/* A file has another name; both ends are told with the same cookie. */
void inotify_tell_renaming(struct file *from, struct name from_name, struct file *to,
			   struct name to_name, struct file *file);

/* Something happened through an open file. */
void inotify_tell_open(struct open_file *open, uint32_t event);

/* A file is about to be freed. */
void inotify_forget(struct file *file);

static inline void inotify_file(struct file *file, uint32_t event)
{
	if (unlikely(inotify_watches > 0))
		inotify_tell_file(file, event);
}

static inline void inotify_entry(struct file *directory, struct name name, uint32_t mode,
				 uint32_t event)
{
	if (unlikely(inotify_watches > 0))
		inotify_tell_entry(directory, name, mode, event, 0);
}

static inline void inotify_renaming(struct file *from, struct name from_name, struct file *to,
				    struct name to_name, struct file *file)
{
	if (unlikely(inotify_watches > 0))
		inotify_tell_renaming(from, from_name, to, to_name, file);
}

static inline void inotify_open(struct open_file *open, uint32_t event)
{
	if (unlikely(inotify_watches > 0))
		inotify_tell_open(open, event);
}

#endif
