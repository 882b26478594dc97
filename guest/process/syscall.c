/* The way from a system call's number to what serves it. */
#include <arch/uapi.h>
#include <calypso/arch.h>
#include <calypso/log.h>
#include <process/syscall.h>

#define SYSCALL(name, x86_64, arm64, arguments) \
	[ARCH_SYSCALL(x86_64, arm64)] = {sys_##name, #name, arguments},
#define MISSING(name, x86_64, arm64) [ARCH_SYSCALL(x86_64, arm64)] = {NULL, #name, 0},
#define LEGACY_SYSCALL(name, x86_64, arguments) \
	ARCH_LEGACY_SYSCALL([x86_64] = {sys_##name, #name, arguments}, )
#define LEGACY_MISSING(name, x86_64) ARCH_LEGACY_SYSCALL([x86_64] = {NULL, #name, 0}, )

static const struct syscall syscalls[] = {
#include <process/syscalls.def>
};

/* One bit for each number that the log has named as missing. */
static uint64_t told[ALIGN_UP(ARRAY_SIZE(syscalls), 64) / 64];

const struct syscall *syscall_find(uint64_t number)
{
	if (number >= ARRAY_SIZE(syscalls) || syscalls[number].name == NULL)
		return NULL;
	return &syscalls[number];
}

static int64_t missing(uint64_t number)
{
	const struct syscall *call = syscall_find(number);
	if (number < ARRAY_SIZE(syscalls)) {
		if ((told[number / 64] >> number % 64 & 1) != 0)
			return -ENOSYS;
		told[number / 64] |= 1ull << number % 64;
	}
	log_warning("system call %lu (%s) is not implemented", number,
		    call == NULL ? "unknown" : call->name);
	return -ENOSYS;
}

/* What is to be done before the return to the program. Others may have run meanwhile. */
static void finish(struct trap_frame *frame, int64_t result)
{
	bool restartable = signal_is_restart(result);
	thread_check_time();
	if (unlikely(restartable || signal_is_ready(current_thread) || current_thread->has_mask_before))
		signal_deliver(frame, restartable);
}

void syscall_dispatch(struct trap_frame *frame)
{
	uint64_t number = frame_syscall_number(frame);
	const struct syscall *call = syscall_find(number);
	if (unlikely(call == NULL || call->handler == NULL)) {
		frame_set_result(frame, missing(number));
		return;
	}
	uint64_t argument[6];
	for (unsigned i = 0; i < ARRAY_SIZE(argument); i++)
		argument[i] = frame_syscall_argument(frame, i);
	process.frame = frame;
	int64_t result = call->handler(argument);
	frame_set_result(frame, result);
	finish(frame, result);
}
