/* arm64: the part of Linux's interface to programs that differs between architectures. */
#ifndef ARCH_UAPI_H
#define ARCH_UAPI_H

#include <calypso/types.h>

/* The two columns of guest/process/syscalls.def: which one counts here, and whether the calls
 * that newer architectures left out exist. */
#define ARCH_SYSCALL(x86_64, arm64) arm64
#define ARCH_LEGACY_SYSCALL(...)

#define O_DIRECTORY 040000
#define O_NOFOLLOW 0100000
#define O_DIRECT 0200000
#define O_LARGEFILE 0400000

#define ARCH_CLONE_CHILD 4 /* places of clone's arguments that differ */
#define ARCH_CLONE_POINTER 3

#define MINSIGSTKSZ 5120

/* siginfo's code for an undefined instruction, and for a breakpoint. */
#define ARCH_ILLEGAL_CODE 1 /* ILL_ILLOPC */
#define ARCH_BREAKPOINT_CODE 1 /* TRAP_BRKPT */

struct epoll_event {
	uint32_t events;
	uint64_t data;
};
static_assert(sizeof(struct epoll_event) == 16, "Linux");

struct stat {
	uint64_t st_dev;
	uint64_t st_ino;
	uint32_t st_mode;
	uint32_t st_nlink;
	uint32_t st_uid;
	uint32_t st_gid;
	uint64_t st_rdev;
	uint64_t pad1;
	int64_t st_size;
	int32_t st_blksize;
	int32_t pad2;
	int64_t st_blocks;
	int64_t st_atime, st_atime_nsec;
	int64_t st_mtime, st_mtime_nsec;
	int64_t st_ctime, st_ctime_nsec;
	uint32_t unused[2];
};
static_assert(sizeof(struct stat) == 128, "Linux");

#endif
