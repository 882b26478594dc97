/* execve(2): another program takes the place of this one. */
#include <calypso/arch.h>
#include <calypso/lib.h>
#include <file/permission.h>
#include <process/calls/at.h>
#include <process/credentials.h>
#include <process/program.h>
#include <process/timer.h>
#include <service/service.h>

#define STRING_MAX (32 * PAGE_SIZE) /* one argument, with its NUL */
#define SCRIPT_LINE 256		    /* bytes of "#!" lines that count */
#define SCRIPTS_MAX 4		    /* scripts whose interpreter is a script */

/* The arguments while they are collected, in the form of `struct arguments`. */
struct strings {
	char *bytes;
	uint64_t length;
	uint64_t capacity;
};

static int make_room(struct strings *strings, uint64_t room)
{
	uint64_t needed = strings->length + room;
	if (needed > ARGUMENTS_MAX)
		return -E2BIG;
	if (needed <= strings->capacity)
		return 0;
	uint64_t capacity = strings->capacity == 0 ? PAGE_SIZE : strings->capacity;
	while (capacity < needed)
		capacity *= 2;
	char *bytes = krealloc(strings->bytes, capacity);
	if (bytes == NULL)
		return -ENOMEM;
	strings->bytes = bytes;
	strings->capacity = capacity;
	return 0;
}

static int add_string(struct strings *strings, const char *string)
{
	size_t size = strlen(string) + 1;
	int error = make_room(strings, size);
	if (error != 0)
		return error;
	memcpy(strings->bytes + strings->length, string, size);
	strings->length += size;
	return 0;
}

/* Put a string in front of all others. */
static int prepend_string(struct strings *strings, const char *string)
{
	size_t size = strlen(string) + 1;
	int error = make_room(strings, size);
	if (error != 0)
		return error;
	memmove(strings->bytes + size, strings->bytes, strings->length);
	memcpy(strings->bytes, string, size);
	strings->length += size;
	return 0;
}

static int add_program_string(struct strings *strings, user_t address)
{
	/* As much room as is there already, and more only if that was not enough. */
	for (uint64_t room = 128;; room *= 8) {
		if (room > STRING_MAX)
			room = STRING_MAX;
		int error = make_room(strings, room);
		if (error != 0)
			return error;
		int64_t length = user_string(strings->bytes + strings->length, address, room);
		if (length >= 0) {
			strings->length += (uint64_t)length + 1;
			return 0;
		}
		if (length == -EFAULT || room == STRING_MAX)
			return length == -EFAULT ? -EFAULT : -E2BIG;
	}
}

/* Add the strings of a NULL-terminated vector of the program: how many, or an error. */
static int64_t add_vector(struct strings *strings, user_t vector, unsigned skip)
{
	if (vector == 0)
		return 0;
	for (int64_t count = 0;; vector += sizeof(user_t)) {
		user_t string;
		if (user_get(&string, vector) != 0)
			return -EFAULT;
		if (string == 0)
			return count;
		if (skip > 0) {
			skip--;
			continue;
		}
		int error = add_program_string(strings, string);
		if (error != 0)
			return error;
		count++;
	}
}

/* ---- Scripts ---- */

/* What is about to be run, after as many scripts as it takes. */
struct execution {
	char *path;	/* as the program gave it */
	char *resolved; /* of `file`, without links; NULL: not known */
	struct file *file;
	struct strings
		prefix; /* arguments that scripts put in front: all but the program's first */
	uint32_t prefix_count;
	struct program program;
};

static void end_execution(struct execution *execution)
{
	program_close(&execution->program);
	file_put(execution->file);
	kfree(execution->prefix.bytes);
	kfree(execution->resolved);
	kfree(execution->path);
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* Read the first line of a script, without "#!" and the blanks around the rest. -ENOEXEC: it is
 * none. */
static int read_script_line(struct file *file, char line[SCRIPT_LINE])
{
	struct io io = io_kernel(line, SCRIPT_LINE - 1);
	if (file->operations->read == NULL || file->operations->read(file, &io, 0, O_RDONLY) != 0)
		return -ENOEXEC;
	size_t length = SCRIPT_LINE - 1 - io.remaining;
	if (length < 2 || line[0] != '#' || line[1] != '!')
		return -ENOEXEC;
	line[length] = '\0';
	size_t end = 2;
	while (line[end] != '\0' && line[end] != '\n')
		end++;
	while (end > 2 && is_blank(line[end - 1]))
		end--;
	line[end] = '\0';
	size_t start = 2;
	while (is_blank(line[start]))
		start++;
	memmove(line, line + start, end - start + 1);
	return line[0] == '\0' ? -ENOEXEC : 0;
}

/* Cut the line into the interpreter's path and its one argument, "" where there is none. */
static const char *cut_argument(char *line)
{
	while (*line != '\0' && !is_blank(*line))
		line++;
	if (*line == '\0')
		return line;
	*line++ = '\0';
	while (is_blank(*line))
		line++;
	return line;
}

static int prepend(struct execution *execution, const char *string)
{
	int error = prepend_string(&execution->prefix, string);
	execution->prefix_count += error == 0;
	return error;
}

/* Let a file be the one that is run. */
static int find_executable(struct execution *execution, const char *path)
{
	struct file *found;
	char *resolved;
	int error = program_find(path, &found, &resolved);
	if (error != 0)
		return error;
	if (!S_ISREG(found->mode) || permission_check(found, MAY_EXECUTE) != 0) {
		kfree(resolved);
		file_put(found);
		return -EACCES;
	}
	kfree(execution->resolved);
	file_put(execution->file);
	execution->resolved = resolved;
	execution->file = found;
	return 0;
}

/* Replace a script by its interpreter. */
static int enter_script(struct execution *execution)
{
	char line[SCRIPT_LINE];
	int error = read_script_line(execution->file, line);
	if (error != 0)
		return error;
	const char *argument = cut_argument(line);
	/* The interpreter of an interpreter finds that one's path in place already. */
	if (execution->prefix_count == 0)
		error = prepend(execution, execution->path);
	if (error == 0 && *argument != '\0')
		error = prepend(execution, argument);
	if (error == 0)
		error = prepend(execution, line);
	return error == 0 ? find_executable(execution, line) : error;
}

static int prepare(struct execution *execution)
{
	const char *problem;
	for (unsigned scripts = 0;; scripts++) {
		int error = program_check(execution->file, &execution->program, &problem);
		if (error != -ENOEXEC)
			return error;
		program_close(&execution->program);
		if (scripts == SCRIPTS_MAX)
			return -ELOOP;
		error = enter_script(execution);
		if (error != 0)
			return error;
	}
}

/* ---- The change ---- */

/* What /proc/self/exe is read as. */
static void set_path(struct execution *execution)
{
	static char *current;
	if (execution->resolved == NULL)
		return;
	kfree(current);
	process.path = current = execution->resolved;
	execution->resolved = NULL;
}

static void set_names(struct execution *execution)
{
	const char *slash = strrchr(execution->path, '/');
	set_path(execution);
	thread_set_name(slash == NULL ? execution->path : slash + 1);
	file_put(process.executable);
	process.executable = file_get(execution->file);
}

/* What a process loses when it becomes another program. */
static void renew_process(void)
{
	thread_end_others();
	space_unmap(USER_START, USER_END - USER_START);
	service_map_window();
	arch_set_thread_pointer(0);
	arch_fp_reset();
	descriptors_close_on_exec(&process.files.descriptors);
	for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
		if (process.actions[i].handler != SIG_IGN)
			process.actions[i] = (struct sigaction){0};
	}
	current_thread->signal_stack = (struct sigaltstack){.flags = SS_DISABLE};
	process.is_undumpable = false;
	timers_delete();
}

/* From here there is no way back to the program that made the call. */
static noreturn void enter(struct execution *execution, const struct arguments *arguments)
{
	struct program *program = &execution->program;
	const char *problem;
	renew_process();
	set_names(execution);
	credentials_execute(execution->file);
	if (program_load(program, arguments, &problem) != 0)
		process_kill(SIGKILL, NULL, NULL, 0);
	user_t entry = program->entry, sp = program->sp;
	kfree((char *)arguments->strings);
	end_execution(execution);
	arch_enter_user(entry, sp, auxsp_of(current_thread->auxspcb));
}

/* Collect all arguments: those of scripts, the program's, the environment. Linux gives a program
 * without arguments an empty one. */
static int collect(const struct execution *execution, user_t argv, user_t envp,
		   struct strings *strings, struct arguments *arguments)
{
	const struct strings *prefix = &execution->prefix;
	int error = make_room(strings, prefix->length);
	if (error != 0)
		return error;
	if (prefix->length > 0)
		memcpy(strings->bytes, prefix->bytes, prefix->length);
	strings->length = prefix->length;
	/* A script's own name has taken the place of the first argument. */
	int64_t argc = add_vector(strings, argv, prefix->length > 0 ? 1 : 0);
	if (argc < 0)
		return (int)argc;
	arguments->argc = execution->prefix_count + (uint32_t)argc;
	if (arguments->argc == 0) {
		error = add_string(strings, "");
		arguments->argc = 1;
	}
	int64_t envc = error == 0 ? add_vector(strings, envp, 0) : error;
	if (envc < 0)
		return (int)envc;
	arguments->envc = (uint32_t)envc;
	arguments->strings = strings->bytes;
	arguments->length = strings->length;
	return 0;
}

static int execute(struct execution *execution, user_t argv, user_t envp)
{
	struct strings strings = {0};
	struct arguments arguments;
	int error = find_executable(execution, execution->path);
	if (error == 0)
		error = prepare(execution);
	if (error == 0)
		error = collect(execution, argv, envp, &strings, &arguments);
	if (error == 0)
		enter(execution, &arguments);
	kfree(strings.bytes);
	return error;
}

SYSCALL3(execve, user_t, path, user_t, argv, user_t, envp)
{
	struct execution execution = {0};
	int error = at_copy_path(path, &execution.path);
	if (error != 0)
		return error;
	error = execute(&execution, argv, envp);
	end_execution(&execution);
	return error;
}
