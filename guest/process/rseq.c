/* Restartable sequences. */
#include <calypso/arch.h>
#include <process/rseq.h>
#include <process/syscall.h>

static noreturn void refuse(const struct trap_frame *frame, user_t address)
{
	process_kill(SIGSEGV, frame, "a restartable sequence is not valid", address);
}

/* The signature in front of the code that goes on is what the program has registered, so that
 * nobody else's can be made to. */
static bool has_signature(user_t abort)
{
	uint32_t signature;
	return user_get(&signature, abort - sizeof(signature)) == 0 &&
	       signature == current_thread->rseq_signature;
}

static void leave(struct trap_frame *frame, user_t sequence_address)
{
	struct rseq_cs sequence;
	if (user_get(&sequence, sequence_address) != 0 || sequence.version != 0 ||
	    sequence.abort >= USER_END)
		refuse(frame, sequence_address);
	if (frame_pc(frame) - sequence.start >= sequence.length)
		return;
	if (sequence.abort - sequence.start < sequence.length || !has_signature(sequence.abort))
		refuse(frame, sequence.abort);
	frame_set_pc(frame, sequence.abort);
}

void rseq_interrupted(struct trap_frame *frame)
{
	const user_t none = 0;
	user_t shared = current_thread->rseq, sequence;
	if (shared == 0)
		return;
	user_t place = shared + offsetof(struct rseq, rseq_cs);
	if (user_get(&sequence, place) != 0)
		refuse(frame, place);
	if (sequence == 0)
		return;
	leave(frame, sequence);
	if (user_put(place, &none) != 0)
		refuse(frame, place);
}

/* ---- The call ---- */

static int64_t unregister(user_t address, uint32_t length, uint32_t signature)
{
	static const struct rseq initial = {.cpu_id = RSEQ_CPU_UNINITIALIZED};
	struct thread *thread = current_thread;
	if (thread->rseq == 0 || thread->rseq != address || length != sizeof(struct rseq))
		return -EINVAL;
	if (thread->rseq_signature != signature)
		return -EPERM;
	thread->rseq = 0;
	return user_put(address, &initial);
}

SYSCALL4(rseq, user_t, address, uint32_t, length, int, flags, uint32_t, signature)
{
	static const struct rseq on_first_processor;
	struct thread *thread = current_thread;
	if (flags == RSEQ_FLAG_UNREGISTER)
		return unregister(address, length, signature);
	if (flags != 0)
		return -EINVAL;
	if (thread->rseq != 0) {
		bool same = thread->rseq == address && length == sizeof(struct rseq);
		return !same ? -EINVAL : thread->rseq_signature != signature ? -EPERM : -EBUSY;
	}
	if (length != sizeof(struct rseq) || address % sizeof(struct rseq) != 0)
		return -EINVAL;
	if (user_put(address, &on_first_processor) != 0)
		return -EFAULT;
	thread->rseq = address;
	thread->rseq_signature = signature;
	return 0;
}
