/* Linux's interface: scheduling, threads, restartable sequences. The same on all architectures. */
#ifndef UAPI_SCHED_H
#define UAPI_SCHED_H

#include <calypso/types.h>

#define SCHED_OTHER 0
#define SCHED_FIFO 1
#define SCHED_RR 2
#define SCHED_BATCH 3
#define SCHED_IDLE 5
#define SCHED_DEADLINE 6
#define SCHED_RESET_ON_FORK 0x40000000

#define SCHED_PRIORITY_MAX 99 /* of SCHED_FIFO and SCHED_RR */

#define PRIO_PROCESS 0
#define PRIO_PGRP 1
#define PRIO_USER 2

#define NICE_MIN (-20)
#define NICE_MAX 19

#define MEMBARRIER_QUERY 0
#define MEMBARRIER_GLOBAL (1 << 0)
#define MEMBARRIER_GLOBAL_EXPEDITED (1 << 1)
#define MEMBARRIER_REGISTER_GLOBAL_EXPEDITED (1 << 2)
#define MEMBARRIER_PRIVATE_EXPEDITED (1 << 3)
#define MEMBARRIER_REGISTER_PRIVATE_EXPEDITED (1 << 4)

#define CLONE_SIGNAL_MASK 0x000000ff /* of clone: what tells the parent of the end */
#define CLONE_VM 0x00000100
#define CLONE_FS 0x00000200
#define CLONE_FILES 0x00000400
#define CLONE_SIGHAND 0x00000800
#define CLONE_VFORK 0x00004000
#define CLONE_THREAD 0x00010000
#define CLONE_SYSVSEM 0x00040000
#define CLONE_SETTLS 0x00080000
#define CLONE_PARENT_SETTID 0x00100000
#define CLONE_CHILD_CLEARTID 0x00200000
#define CLONE_DETACHED 0x00400000
#define CLONE_CHILD_SETTID 0x01000000

struct clone_args {
	uint64_t flags;
	user_t pidfd;
	user_t child_tid;
	user_t parent_tid;
	uint64_t exit_signal;
	user_t stack; /* its lowest byte */
	uint64_t stack_size;
	uint64_t tls;
	user_t set_tid; /* from here on: later versions */
	uint64_t set_tid_size;
	uint64_t cgroup;
};
static_assert(sizeof(struct clone_args) == 88, "Linux");

#define CLONE_ARGS_SIZE_FIRST 64

/* Restartable sequences: what a thread shares with the kernel. */
struct rseq {
	uint32_t cpu_id_start;
	uint32_t cpu_id;
	user_t rseq_cs; /* the sequence that it may be in; 0: none */
	uint32_t flags;
	uint32_t node_id;
	uint32_t mm_cid;
	uint32_t unused;
};
static_assert(sizeof(struct rseq) == 32, "Linux");

struct rseq_cs {
	uint32_t version;
	uint32_t flags;
	uint64_t start;
	uint64_t length;
	uint64_t abort;
};
static_assert(sizeof(struct rseq_cs) == 32, "Linux");

#define RSEQ_CPU_UNINITIALIZED UINT32_MAX
#define RSEQ_FLAG_UNREGISTER 1

#endif
