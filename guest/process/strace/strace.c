/* The record of system calls: which call, when, by whom. */
#include <process/strace/strace.h>

#include <arch/uapi.h>
#include <calypso/bootinfo.h>
#include <calypso/console.h>
#include <calypso/lib.h>
#include <process/strace/decode.h>

#define LINE_SIZE 2048
#define ARGUMENTS_MAX 6

/* The numbers of all calls, by name. */
enum {
#define SYSCALL(name, x86_64, arm64, arguments) NUMBER_##name = ARCH_SYSCALL(x86_64, arm64),
#define MISSING(name, x86_64, arm64) NUMBER_##name = ARCH_SYSCALL(x86_64, arm64),
#define LEGACY_SYSCALL(name, x86_64, arguments) ARCH_LEGACY_SYSCALL(NUMBER_##name = x86_64, )
#define LEGACY_MISSING(name, x86_64) ARCH_LEGACY_SYSCALL(NUMBER_##name = x86_64, )
#include <process/syscalls.def>
};

#define TRACE(name, letters) [NUMBER_##name] = letters,
#define LEGACY_TRACE(name, letters) ARCH_LEGACY_SYSCALL([NUMBER_##name] = letters, )

static const char *const signatures[] = {
#include <process/strace/strace.def>
};

/* What has not been written yet. The host reads it by its physical address, so it is in the image. */
static char buffer[LINE_SIZE];
static struct text line = {buffer, sizeof(buffer), 0};

/* The thread whose line the console is in the middle of. */
static const struct thread *unfinished;

bool strace_is_wanted(void) { return command_line_number("strace", 0) != 0; }

static void flush(void)
{
	console_write(CONSOLE_LOG, line.buffer, line.length);
	line.length = 0;
}

static void end_line(void)
{
	/* A line that was cut still ends. */
	if (line.length == line.size - 1)
		line.length--;
	text_add(&line, "\n");
	flush();
	unfinished = NULL;
}

/* Start a line of the running thread, whatever the console is in the middle of. */
static void start_line(void)
{
	if (unfinished != NULL) {
		text_add(&line, " <unfinished ...>");
		end_line();
	}
	if (current_thread->id != PROCESS_ID)
		text_add(&line, "[pid %5d] ", current_thread->id);
}

static const char *signature_of(uint64_t number)
{
	return number < ARRAY_SIZE(signatures) ? signatures[number] : NULL;
}

/* Letters of arguments that are known when the call begins, of all, and of the result. */
struct signature {
	char letters[ARGUMENTS_MAX];
	unsigned known, count;
	char result;
};

static struct signature read_signature(const struct syscall *call, uint64_t number)
{
	const char *text = signature_of(number);
	struct signature signature = {.count = 0};
	bool has_output = false;
	if (text == NULL) {
		bool is_served = call != NULL && call->handler != NULL;
		signature.count = signature.known = is_served ? call->arguments : ARGUMENTS_MAX;
		return signature;
	}
	for (; *text != '\0' && *text != '='; text++) {
		if (*text == '>') {
			has_output = true;
			signature.known = signature.count;
		} else {
			signature.letters[signature.count++] = *text;
		}
	}
	if (*text == '=')
		signature.result = text[1];
	if (!has_output)
		signature.known = signature.count;
	return signature;
}

static void add_arguments(const struct signature *signature, const struct shown_call *call,
			  unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		if (!strace_has_argument(signature->letters[i], call, i))
			continue;
		if (i > 0)
			text_add(&line, ", ");
		strace_add_argument(&line, signature->letters[i], call, i);
	}
}

static void add_name(const struct syscall *call, uint64_t number)
{
	if (call != NULL)
		text_add(&line, "%s", call->name);
	else
		text_add(&line, "syscall_%#lx", number);
}

void strace_begin(const struct syscall *call, uint64_t number, const uint64_t argument[6])
{
	struct signature signature = read_signature(call, number);
	struct shown_call shown = {.argument = argument};
	/* The only call that comes back to the program by another way is an execve that succeeds. */
	if (unfinished == current_thread) {
		text_add(&line, ") = 0");
		end_line();
	}
	start_line();
	add_name(call, number);
	text_add(&line, "(");
	add_arguments(&signature, &shown, 0, signature.known);
	unfinished = current_thread;
	if (signature.result == '-') {
		text_add(&line, ") = ?");
		end_line();
	}
	flush();
}

void strace_end(const struct syscall *call, uint64_t number, const uint64_t argument[6],
		int64_t result)
{
	struct signature signature = read_signature(call, number);
	struct shown_call shown = {argument, true, result};
	if (unfinished != current_thread) {
		start_line();
		text_add(&line, "<... ");
		add_name(call, number);
		text_add(&line, " resumed>");
	}
	add_arguments(&signature, &shown, signature.known, signature.count);
	text_add(&line, ") = ");
	strace_add_result(&line, signature.result, result);
	end_line();
}

void strace_exited(int status)
{
	start_line();
	text_add(&line, "+++ exited with %d +++", status);
	end_line();
}

void strace_killed(int signal)
{
	const char *name = signal_name(signal);
	start_line();
	if (name != NULL)
		text_add(&line, "+++ killed by %s +++", name);
	else
		text_add(&line, "+++ killed by signal %d +++", signal);
	end_line();
}
