/* Locks of whole files, held by open files (flock(2)). */
#ifndef FILE_LOCK_H
#define FILE_LOCK_H

#include <file/open_file.h>

/* Hold this lock instead of the one held so far, which is given up first: 0; -EAGAIN where others
 * hold one that excludes it and it may not wait; -ERESTARTSYS for a signal. */
int lock_set(struct open_file *open, enum open_file_lock lock, bool waits);

#endif
