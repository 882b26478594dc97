/* The way from a system call's number to what serves it. */
#include <arch/uapi.h>
#include <calypso/arch.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <process/strace/strace.h>
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

/* Numbers from this one on go the long way: those that do not exist or, while calls are recorded,
 * all. */
static uint64_t direct_calls = ARRAY_SIZE(syscalls);

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
	if (unlikely(restartable | signal_is_ready(current_thread) | current_thread->has_mask_before))
		signal_deliver(frame, restartable);
}

/* Serve a call for which `frame` is to be had by syscall_frame. Calls nest. */
static int64_t serve(syscall_handler *handler, struct trap_frame *frame, const uint64_t argument[SYSCALL_ARGUMENTS])
{
	struct auxspcb *auxspcb = current_thread->auxspcb;
	struct trap_frame *outer = auxspcb->frame;
	auxspcb->frame = frame;
	int64_t result = handler(argument);
	auxspcb->frame = outer;
	if (unlikely(current_thread->ending))
		thread_exit(0);
	return result;
}

/* A call that is missing, or recorded. */
static __attribute__((noinline, cold)) int64_t make_unusual(struct trap_frame *frame, uint64_t number, const uint64_t argument[SYSCALL_ARGUMENTS])
{
	const struct syscall *call = syscall_find(number);
	bool recorded = direct_calls == 0;
	uint64_t kept[SYSCALL_ARGUMENTS]; /* the call may change the frame that they are in */
	memcpy(kept, argument, sizeof(kept));
	if (recorded)
		strace_begin(call, number, kept);
	bool is_served = call != NULL && call->handler != NULL;
	int64_t result = is_served ? serve(call->handler, frame, argument) : missing(number);
	if (recorded)
		strace_end(call, number, kept, result);
	return result;
}

int64_t syscall_make(struct trap_frame *frame, uint64_t number, const uint64_t argument[SYSCALL_ARGUMENTS])
{
	if (unlikely(number >= direct_calls || syscalls[number].handler == NULL))
		return make_unusual(frame, number, argument);
	return serve(syscalls[number].handler, frame, argument);
}

void syscall_dispatch(struct trap_frame *frame)
{
	int64_t result =
		syscall_make(frame, frame_syscall_number(frame), frame_syscall_arguments(frame));
	frame_set_result(frame, result);
	finish(frame, result);
}

void syscall_record(void) { direct_calls = 0; }
bool syscall_is_recorded(void) { return direct_calls == 0; }
