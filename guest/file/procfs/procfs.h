/* The part of Linux's /proc that programs ask for.
 *
 *	/proc/self -> 1
 *	/proc/1/{auxv,cmdline,comm,cwd,environ,exe,fd/,limits,maps,mountinfo,mounts,net/dev,root,stat,statm,
 *		 status}
 *	/proc/{cmdline,cpuinfo,filesystems,loadavg,meminfo,mounts,net,stat,swaps,uptime,version,
 *	       vmstat}
 *	/proc/sys/{kernel,vm}/
 *
 *   procfs.c       the tree
 *   descriptors.c  /proc/1/fd
 *   process.c      content of files on the process
 *   machine.c      content of files on the machine and the kernel
 *
 * The content of /proc/net/dev is written in net/interface/control.c.
 */
#ifndef FILE_PROCFS_PROCFS_H
#define FILE_PROCFS_PROCFS_H

#include <calypso/text.h>
#include <file/file.h>

/* The root of the file system; always the same. */
struct file *procfs_root(void);

/* ---- Inside procfs ---- */

extern const struct file_system procfs;
extern const struct file_operations procfs_descriptors_operations;

/* The text of a link, as the operation `target` gives it. */
int64_t procfs_copy_target(const char *target, char *buffer, size_t size);

/* Add a file's content: 0, or -ERANGE, -EFAULT. */
typedef int procfs_show(struct text *text);

procfs_show procfs_show_name;
procfs_show procfs_show_auxiliary;
procfs_show procfs_show_arguments;
procfs_show procfs_show_environment;
procfs_show procfs_show_mappings;
procfs_show procfs_show_process;
procfs_show procfs_show_process_memory;
procfs_show procfs_show_status;
procfs_show procfs_show_limits;
procfs_show procfs_show_mounts;
procfs_show procfs_show_mount_details;

procfs_show procfs_show_version;
procfs_show procfs_show_uptime;
procfs_show procfs_show_memory;
procfs_show procfs_show_swap;
procfs_show procfs_show_paging;
procfs_show procfs_show_file_systems;
procfs_show procfs_show_machine;
procfs_show procfs_show_load;
procfs_show procfs_show_processor;
procfs_show procfs_show_command_line;
procfs_show procfs_show_system_name;
procfs_show procfs_show_release;
procfs_show procfs_show_host_name;
procfs_show procfs_show_id_limit;
procfs_show procfs_show_mapping_limit;
procfs_show procfs_show_overcommit;
procfs_show procfs_show_entropy;
procfs_show procfs_show_uuid;
procfs_show procfs_show_boot_id;

procfs_show procfs_show_interfaces;

#endif
