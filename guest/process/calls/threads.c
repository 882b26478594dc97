/* Calls that make and end threads. */
#include <arch/uapi.h>
#include <calypso/arch.h>
#include <process/calls/structure.h>
#include <process/syscall.h>

#define ROBUST_LIST_HEAD_SIZE 24

SYSCALL0(gettid)
{
	return current_thread->id;
}

SYSCALL1(set_tid_address, user_t, address)
{
	current_thread->clear_id = address;
	return current_thread->id;
}

SYSCALL2(set_robust_list, user_t, head, uint64_t, size)
{
	if (size != ROBUST_LIST_HEAD_SIZE)
		return -EINVAL;
	current_thread->robust_list = head;
	return 0;
}

SYSCALL3(get_robust_list, int, id, user_t, head, user_t, size_address)
{
	const uint64_t size = ROBUST_LIST_HEAD_SIZE;
	const struct thread *thread = id == 0 ? current_thread : thread_find(id);
	if (thread == NULL)
		return -ESRCH;
	if (user_put(head, &thread->robust_list) != 0)
		return -EFAULT;
	return user_put(size_address, &size);
}

/* Only threads: the program has one address space, and no other program comes to be. */
static int check_flags(uint64_t flags)
{
	const uint64_t thread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
	if ((flags & thread) == thread)
		return 0;
	return (flags & CLONE_THREAD) != 0 ? -EINVAL : -ENOSYS;
}

/* A thread that goes on as the caller does, but with the result 0. */
static int64_t clone(const struct clone_args *args, user_t stack_top)
{
	uint64_t flags = args->flags;
	int error = check_flags(flags);
	if (error != 0)
		return error;
	struct trap_frame frame = *syscall_frame();
	frame_set_result(&frame, 0);
	if (stack_top != 0)
		frame_set_sp(&frame, stack_top);
	struct thread *thread = thread_create(&frame);
	if (thread == NULL)
		return -EAGAIN;
	int32_t id = thread->id;
	if ((flags & CLONE_SETTLS) != 0)
		sysctx_set_thread_pointer(&thread->auxspcb->execenv.sysctx, args->tls);
	if ((flags & CLONE_CHILD_CLEARTID) != 0)
		thread->clear_id = args->child_tid;
	if ((flags & CLONE_PARENT_SETTID) != 0)
		user_put(args->parent_tid, &id);
	if ((flags & CLONE_CHILD_SETTID) != 0)
		user_put(args->child_tid, &id);
	return id;
}

SYSCALL5(clone, uint64_t, flags, user_t, stack, user_t, parent_id, uint64_t, fourth, uint64_t, fifth)
{
	const uint64_t in_order[] = {[3] = fourth, [4] = fifth};
	struct clone_args args = {
		.flags = flags & ~(uint64_t)CLONE_SIGNAL_MASK,
		.parent_tid = parent_id,
		.child_tid = in_order[ARCH_CLONE_CHILD],
		.tls = in_order[ARCH_CLONE_POINTER],
	};
	return clone(&args, stack);
}

SYSCALL2(clone3, user_t, address, uint64_t, size)
{
	struct clone_args args;
	if (size < CLONE_ARGS_SIZE_FIRST)
		return -EINVAL;
	int error = structure_get(&args, sizeof(args), address, size);
	if (error != 0)
		return error;
	bool is_thread = (args.flags & CLONE_THREAD) != 0;
	if ((args.flags & (CLONE_DETACHED | CLONE_SIGNAL_MASK)) != 0 ||
	    args.exit_signal > CLONE_SIGNAL_MASK || (is_thread && args.exit_signal != 0) ||
	    (args.stack == 0) != (args.stack_size == 0) || args.set_tid_size != 0)
		return -EINVAL;
	return clone(&args, args.stack + args.stack_size);
}

SYSCALL1(exit, int, status)
{
	thread_exit(status);
}
