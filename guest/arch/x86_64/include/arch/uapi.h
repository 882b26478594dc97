/* x86_64: the part of Linux's interface to programs that differs between architectures. */
#ifndef ARCH_UAPI_H
#define ARCH_UAPI_H

#include <calypso/types.h>

/* The two columns of guest/process/syscalls.def: which one counts here, and whether the calls
 * that newer architectures left out exist. */
#define ARCH_SYSCALL(x86_64, arm64) x86_64
#define ARCH_LEGACY_SYSCALL(...) __VA_ARGS__

#define O_DIRECT 040000
#define O_LARGEFILE 0100000
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000

#define ARCH_CLONE_CHILD 3 /* places of clone's arguments that differ */
#define ARCH_CLONE_POINTER 4

#define MINSIGSTKSZ 2048

/* siginfo's code for an undefined instruction, and for a breakpoint. */
#define ARCH_ILLEGAL_CODE 2 /* ILL_ILLOPN */
#define ARCH_BREAKPOINT_CODE 0x80 /* SI_KERNEL */

struct epoll_event {
	uint32_t events;
	uint64_t data;
} __attribute__((packed));
static_assert(sizeof(struct epoll_event) == 12, "Linux");

struct stat {
	uint64_t st_dev;
	uint64_t st_ino;
	uint64_t st_nlink;
	uint32_t st_mode;
	uint32_t st_uid;
	uint32_t st_gid;
	uint32_t pad;
	uint64_t st_rdev;
	int64_t st_size;
	int64_t st_blksize;
	int64_t st_blocks;
	int64_t st_atime, st_atime_nsec;
	int64_t st_mtime, st_mtime_nsec;
	int64_t st_ctime, st_ctime_nsec;
	int64_t unused[3];
};
static_assert(sizeof(struct stat) == 144, "Linux");

#endif
