/* arm64: the signal frame, as Linux lays it out. */
#include <calypso/arch.h>
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/signal_frame.h>
#include <calypso/user.h>

#define FPSIMD_MAGIC 0x46508001
#define PSTATE_CONDITIONS 0xf0000000ull

#define RESERVED_SIZE 4096

struct signal_frame {
	struct siginfo info;
	uint64_t flags;
	user_t link;
	struct sigaltstack stack;
	uint64_t mask;
	uint8_t unused[120];
	/* struct sigcontext, aligned to 16 bytes */
	uint64_t fault_address __attribute__((aligned(16)));
	uint64_t x[31];
	uint64_t sp;
	uint64_t pc;
	uint64_t pstate;
	/* Records with magic and size, the last all zero. */
	struct fp_state fp;
	uint8_t end[RESERVED_SIZE - sizeof(struct fp_state)];
};
static_assert(offsetof(struct signal_frame, fault_address) == 128 + 176, "Linux");
static_assert(offsetof(struct signal_frame, fp) == 128 + 176 + 288, "Linux");
static_assert(sizeof(struct signal_frame) == 4688, "Linux");

/* What is stored: all but the empty end, of which the first record counts. */
#define STORED_SIZE (offsetof(struct signal_frame, end) + 2 * sizeof(uint32_t))

/* For backtraces, above the frame. */
struct frame_record {
	uint64_t frame_pointer;
	uint64_t link;
};

/* Where a handler returns to that names no restorer: a page of the program with code that Linux has
 * in its vDSO. */
static int64_t return_code(void)
{
	static const uint32_t code[] = {
		0xd2801168, /* mov x8, #139 (rt_sigreturn) */
		0xd4000001, /* svc #0 */
	};
	static user_t place;
	struct space_mapping mapping;

	if (place != 0 && space_find(place, &mapping) && mapping.start <= place)
		return (int64_t)place;
	int64_t found = space_map(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  NULL, 0);
	if (found < 0)
		return found;
	if (user_put((user_t)found, &code) != 0 ||
	    space_protect((user_t)found, PAGE_SIZE, PROT_READ | PROT_EXEC) != 0)
		return -EFAULT;
	place = (user_t)found;
	return found;
}

static int store(user_t at, const struct trap_frame *frame, const struct signal_delivery *delivery)
{
	struct signal_frame *stored = kcalloc(1, sizeof(*stored));
	if (stored == NULL)
		return -EFAULT;

	stored->info = delivery->info;
	stored->stack = delivery->stack;
	stored->mask = delivery->mask;
	stored->fault_address = delivery->info.address;
	memcpy(stored->x, frame->x, sizeof(stored->x));
	stored->sp = frame->sp;
	stored->pc = frame->pc;
	stored->pstate = frame->pstate & PSTATE_CONDITIONS;
	arch_fp_save(&stored->fp);
	stored->fp.magic = FPSIMD_MAGIC;
	stored->fp.size = sizeof(stored->fp);
	int error = user_copy_out(at, stored, STORED_SIZE);
	kfree(stored);
	return error;
}

int arch_signal_enter(struct trap_frame *frame, const struct signal_delivery *delivery)
{
	struct frame_record record = {frame->x[29], frame->x[30]};
	user_t next = ALIGN_DOWN(delivery->sp - sizeof(record), 16);
	user_t at = ALIGN_DOWN(next - sizeof(struct signal_frame), 16);
	int64_t restorer = (int64_t)delivery->action.restorer;

	if ((delivery->action.flags & SA_RESTORER) == 0)
		restorer = return_code();
	if (restorer < 0 || user_put(next, &record) != 0 || store(at, frame, delivery) != 0)
		return -EFAULT;
	frame->x[0] = (uint64_t)delivery->info.signal;
	if ((delivery->action.flags & SA_SIGINFO) != 0) {
		frame->x[1] = at + offsetof(struct signal_frame, info);
		frame->x[2] = at + offsetof(struct signal_frame, flags);
	}
	frame->x[29] = next;
	frame->x[30] = (uint64_t)restorer;
	frame->sp = at;
	frame->pc = delivery->action.handler;
	return 0;
}

int arch_signal_leave(struct trap_frame *frame, uint64_t *mask, struct sigaltstack *stack)
{
	struct signal_frame *stored = kmalloc(sizeof(*stored));
	int error = stored == NULL ? -EFAULT : user_copy_in(stored, frame->sp, STORED_SIZE);

	if (error == 0 && stored->fp.magic == FPSIMD_MAGIC)
		arch_fp_restore(&stored->fp);
	if (error == 0) {
		memcpy(frame->x, stored->x, sizeof(stored->x));
		frame->sp = stored->sp;
		frame->pc = stored->pc;
		frame->pstate = (frame->pstate & ~PSTATE_CONDITIONS) |
				(stored->pstate & PSTATE_CONDITIONS);
		*mask = stored->mask;
		*stack = stored->stack;
	}
	kfree(stored);
	return error;
}

size_t arch_signal_size(void)
{
	return sizeof(struct signal_frame) + ALIGN_UP(sizeof(struct frame_record), 16) + 16;
}

user_t arch_signal_room(const struct trap_frame *frame) { return frame->sp; }
