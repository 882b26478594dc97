/* arm64: the registers of what an exception or system call interrupted, as trap.S stores them. */
#ifndef ARCH_FRAME_H
#define ARCH_FRAME_H

#include <calypso/types.h>

struct trap_frame {
	uint64_t x[31];
	uint64_t sp;  /* SP_EL0 for the program, SP_EL1 for the kernel */
	uint64_t pc;  /* ELR_EL1 */
	uint64_t pstate; /* SPSR_EL1 */
	uint64_t esr;
	uint64_t original_x0; /* of a system call: x0 before the result */
};

static_assert(sizeof(struct trap_frame) == 288, "trap.S");
static_assert(offsetof(struct trap_frame, sp) == 248, "trap.S");

static inline uint64_t frame_pc(const struct trap_frame *frame) { return frame->pc; }
static inline void frame_set_pc(struct trap_frame *frame, uint64_t pc) { frame->pc = pc; }
static inline uint64_t frame_pointer(const struct trap_frame *frame) { return frame->x[29]; }
static inline uint64_t frame_sp(const struct trap_frame *frame) { return frame->sp; }
static inline void frame_set_sp(struct trap_frame *frame, uint64_t sp) { frame->sp = sp; }
static inline bool frame_is_user(const struct trap_frame *frame)
{
	return (frame->pstate & 0xf) == 0; /* EL0t */
}

static inline uint64_t frame_syscall_number(const struct trap_frame *frame)
{
	return frame->x[8];
}

static inline const uint64_t *frame_syscall_arguments(const struct trap_frame *frame)
{
	return frame->x;
}

static inline void frame_restart_syscall(struct trap_frame *frame)
{
	const uint64_t length = 4; /* SVC */
	frame->x[0] = frame->original_x0;
	frame->pc -= length;
}

static inline int64_t frame_result(const struct trap_frame *frame) { return (int64_t)frame->x[0]; }
static inline void frame_set_result(struct trap_frame *frame, int64_t result)
{
	frame->x[0] = (uint64_t)result;
}

#endif
