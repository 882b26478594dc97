/* Calls that make and end threads. */
#include <arch/uapi.h>
#include <calypso/arch.h>
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

SYSCALL5(clone, uint64_t, flags, user_t, stack, user_t, parent_id, uint64_t, fourth, uint64_t, fifth)
{
	const uint64_t in_order[] = {[3] = fourth, [4] = fifth};
	user_t child_id = in_order[ARCH_CLONE_CHILD];
	int error = check_flags(flags);
	if (error != 0)
		return error;

	struct trap_frame frame = *syscall_frame();
	frame_set_result(&frame, 0);
	if (stack != 0)
		frame_set_sp(&frame, stack);
	struct thread *thread = thread_create(&frame);
	if (thread == NULL)
		return -EAGAIN;
	int32_t id = thread->id;
	if ((flags & CLONE_SETTLS) != 0)
		sysctx_set_thread_pointer(&thread->auxspcb->execenv.sysctx, in_order[ARCH_CLONE_POINTER]);
	if ((flags & CLONE_CHILD_CLEARTID) != 0)
		thread->clear_id = child_id;
	if ((flags & CLONE_PARENT_SETTID) != 0)
		user_put(parent_id, &id);
	if ((flags & CLONE_CHILD_SETTID) != 0)
		user_put(child_id, &id);
	return id;
}

SYSCALL1(exit, int, status)
{
	thread_exit(status);
}
