/* The end of the program. */
#include <arch/uapi.h>
#include <calypso/arch.h>
#include <calypso/fault.h>
#include <calypso/host.h>
#include <calypso/lib.h>
#include <process/process.h>
#include <process/strace/strace.h>

#define REPORT_SIZE 1024

/* In the image, where the host can read it. */
static char report[REPORT_SIZE];

void process_exit(int status)
{
	if (syscall_is_recorded())
		strace_exited(status & 0xff);
	host_exit(status & 0xff, CALYPSO_EXIT_PROGRAM, NULL);
}

void process_kill(int signal, const struct trap_frame *frame, const char *reason, user_t address)
{
	struct text text = {report, sizeof(report), 0};
	const char *name = signal_name(signal);
	if (syscall_is_recorded())
		strace_killed(signal);
	if (name != NULL)
		text_add(&text, "program killed by %s", name);
	else
		text_add(&text, "program killed by signal %d", signal);
	if (reason != NULL)
		text_add(&text, " at pc 0x%016lx, address 0x%016lx (%s)", frame_pc(frame), address,
			 reason);
	text_add(&text, "\n");
	if (reason != NULL)
		arch_describe(frame, &text);
	host_exit(128 + signal, CALYPSO_EXIT_SIGNAL, report);
}

/* What a fault is for the program: the signal with its code, and the words for the report. */
static const struct fault {
	int signal;
	int code;
	const char *reason;
} faults[] = {
	[FAULT_NOT_MAPPED] = {SIGSEGV, SEGV_MAPERR, "nothing is mapped there"},
	[FAULT_PROTECTION] = {SIGSEGV, SEGV_ACCERR, "the mapping does not allow that access"},
	[FAULT_PAST_END] = {SIGBUS, BUS_ADRERR, "beyond the end of the mapped file"},
	[FAULT_NO_MEMORY] = {SIGKILL, SI_KERNEL, "memory is exhausted"},
	[FAULT_ALIGNMENT] = {SIGBUS, BUS_ADRALN, "unaligned access"},
	[FAULT_INSTRUCTION] = {SIGILL, ARCH_ILLEGAL_CODE, "illegal instruction"},
	[FAULT_ARITHMETIC] = {SIGFPE, FPE_INTDIV, "arithmetic exception"},
	[FAULT_BREAKPOINT] = {SIGTRAP, ARCH_BREAKPOINT_CODE, "breakpoint"},
	[FAULT_OTHER] = {SIGSEGV, SI_KERNEL, "forbidden operation"},
};

void program_fault(struct trap_frame *frame, enum fault_reason reason, user_t address)
{
	const struct fault *fault = &faults[reason];
	struct siginfo info = {.signal = fault->signal, .code = fault->code};
	if (fault->code != SI_KERNEL)
		info.address = address;
	signal_fault(frame, &info, fault->reason, address);
}
