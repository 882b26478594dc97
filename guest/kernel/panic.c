/* The end of the kernel: what happened, registers, backtrace; then the machine stops.
 *
 * Addresses of code are printed as 0x and 16 digits: the VMM, which has the kernel's ELF file, puts
 * the symbols beside them.
 */
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/console.h>
#include <calypso/fault.h>
#include <calypso/host.h>
#include <calypso/log.h>
#include <calypso/stack.h>
#include <calypso/text.h>

#define REPORT_SIZE 2048
#define BACKTRACE_DEPTH 24

static char report[REPORT_SIZE];
static bool panicking;

/* Both architectures keep a chain of frame records: the caller's record, the return address. */
struct frame_record {
	const struct frame_record *caller;
	uint64_t return_address;
};

/* Records lie in the kernel's stacks, deeper ones at lower addresses. */
static bool is_record(const struct frame_record *record)
{
	uint64_t address = (uintptr_t)record;

	return address % sizeof(uint64_t) == 0 && stack_contains(address) &&
	       stack_contains(address + sizeof(*record) - 1);
}

static void add_backtrace(struct text *text, const struct frame_record *record)
{
	text_add(text, "backtrace:\n");
	for (unsigned i = 0; i < BACKTRACE_DEPTH && is_record(record); i++) {
		if (record->return_address == 0)
			break;
		/* In the call, not behind it: a call that never returns ends its function. */
		text_add(text, "  0x%016lx\n", record->return_address - 1);
		if (record->caller <= record)
			break;
		record = record->caller;
	}
}

static noreturn void finish(struct text *text)
{
	/* A host that hears of the exit prints the report itself. */
	if (!bootinfo_has(CALYPSO_FEATURE_DOORBELL))
		console_write(CONSOLE_LOG, text->buffer, text->length);
	host_exit(126, CALYPSO_EXIT_PANIC, text->buffer);
}

static struct text begin(const char *format, va_list arguments)
{
	struct text text = {report, sizeof(report), 0};

	/* A panic while panicking: the report is not to be trusted with more. */
	if (panicking)
		host_exit(126, CALYPSO_EXIT_PANIC, "panic within a panic");
	panicking = true;
	text_add_list(&text, format, arguments);
	text_add(&text, "\n");
	return text;
}

void panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	struct text text = begin(format, arguments);
	va_end(arguments);
	add_backtrace(&text, __builtin_frame_address(0));
	finish(&text);
}

void panic_at(const struct trap_frame *frame, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	struct text text = begin(format, arguments);
	va_end(arguments);
	text_add(&text, "at 0x%016lx\n", frame_pc(frame));
	arch_describe(frame, &text);
	if (!frame_is_user(frame))
		add_backtrace(&text, (const struct frame_record *)(uintptr_t)frame_pointer(frame));
	finish(&text);
}
