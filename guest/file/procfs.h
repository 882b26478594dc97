/* The part of Linux's /proc that programs ask for.
 *
 *	/proc/self -> 1
 *	/proc/1/{cmdline,comm,cwd,exe,fd/,maps,mounts,root}
 *	/proc/{filesystems,meminfo,mounts,uptime,version}
 */
#ifndef FILE_PROCFS_H
#define FILE_PROCFS_H

#include <file/file.h>

/* The root of the file system; always the same. */
struct file *procfs_root(void);

#endif
