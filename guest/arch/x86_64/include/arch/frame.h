/* x86_64: the registers of what a trap or system call interrupted, as trap.S stores them. */
#ifndef ARCH_FRAME_H
#define ARCH_FRAME_H

#include <calypso/types.h>

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, rbp;
	uint64_t rdi, rsi, rdx, r10, r8, r9; /* a system call's arguments in their order */
	uint64_t rcx, rbx, rax;
	uint64_t vector; /* exception or interrupt vector; FRAME_SYSCALL for a system call */
	uint64_t error;	 /* error code of the exception, else 0; for a system call its number */
	uint64_t rip, cs, rflags, rsp, ss;
};

#define FRAME_SYSCALL 0x100

static_assert(sizeof(struct trap_frame) == 176, "trap.S");
static_assert(offsetof(struct trap_frame, r11) == 32, "trap.S");
static_assert(offsetof(struct trap_frame, r9) - offsetof(struct trap_frame, rdi) == 40, "arguments");
static_assert(offsetof(struct trap_frame, rcx) == 96, "trap.S");
static_assert(offsetof(struct trap_frame, rip) == 136, "trap.S");

static inline uint64_t frame_pc(const struct trap_frame *frame) { return frame->rip; }
static inline void frame_set_pc(struct trap_frame *frame, uint64_t pc) { frame->rip = pc; }
static inline uint64_t frame_pointer(const struct trap_frame *frame) { return frame->rbp; }
static inline uint64_t frame_sp(const struct trap_frame *frame) { return frame->rsp; }
static inline void frame_set_sp(struct trap_frame *frame, uint64_t sp) { frame->rsp = sp; }
static inline bool frame_is_user(const struct trap_frame *frame) { return (frame->cs & 3) != 0; }

static inline uint64_t frame_syscall_number(const struct trap_frame *frame)
{
	return frame->error;
}

static inline const uint64_t *frame_syscall_arguments(const struct trap_frame *frame)
{
	return &frame->rdi;
}

static inline void frame_restart_syscall(struct trap_frame *frame)
{
	const uint64_t length = 2; /* SYSCALL */
	frame->rax = frame->error;
	frame->rip -= length;
}

static inline int64_t frame_result(const struct trap_frame *frame) { return (int64_t)frame->rax; }
static inline void frame_set_result(struct trap_frame *frame, int64_t result)
{
	frame->rax = (uint64_t)result;
}

#endif
