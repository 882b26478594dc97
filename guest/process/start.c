/* Starting the program. */
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/host.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <calypso/text.h>
#include <file/path.h>
#include <file/ramfs/ramfs.h>
#include <file/stream.h>
#include <net/inet/inet.h>
#include <process/process.h>
#include <process/program.h>
#include <process/strace/strace.h>
#include <service/service.h>

#define REFUSAL_SIZE 512
#define STATUS_REFUSED 126 /* as a shell reports what it cannot execute */
#define DESCRIPTORS_SOFT_LIMIT 1024
#define DESCRIPTORS_HARD_LIMIT (1u << 20)
#define LOCKED_MEMORY_LIMIT (8u << 20)

struct process process;

struct file_context *file_context(void) { return current_thread->files; }

/* End because of what the user gave, which is no fault of the kernel's. */
printf_like(1, 2) static noreturn void refuse(const char *format, ...)
{
	static char message[REFUSAL_SIZE];
	struct text text = {message, sizeof(message), 0};
	va_list arguments;

	text_add(&text, "cannot run %s: ", process.path);
	va_start(arguments, format);
	text_add_list(&text, format, arguments);
	va_end(arguments);
	if (!bootinfo_has(CALYPSO_FEATURE_DOORBELL))
		panic("%s", message);
	host_exit(STATUS_REFUSED, CALYPSO_EXIT_REFUSED, message);
}

static const char *in_root(const char *name)
{
	size_t size = strlen(name) + 2;
	char *path = kmalloc(size);
	if (path == NULL)
		return name;
	path[0] = '/';
	memcpy(path + 1, name, size - 1);
	return path;
}

/* "/path" is told as it is given; a bare name as if it were in the root. */
static void set_path(const char *given)
{
	const char *slash = strrchr(given, '/');
	const char *name = slash == NULL ? given : slash + 1;
	process.path = given[0] == '/' ? given : in_root(name);
	strlcpy(process.name, name, sizeof(process.name));
}

static void set_limits(void)
{
	for (unsigned i = 0; i < RLIM_NLIMITS; i++)
		process.limits[i] = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
	process.limits[RLIMIT_STACK].rlim_cur = STACK_SIZE;
	process.limits[RLIMIT_CORE].rlim_cur = 0;
	process.limits[RLIMIT_NICE] = (struct rlimit){0, 0};
	process.limits[RLIMIT_NOFILE] =
		(struct rlimit){DESCRIPTORS_SOFT_LIMIT, DESCRIPTORS_HARD_LIMIT};
	process.limits[RLIMIT_MEMLOCK] = (struct rlimit){LOCKED_MEMORY_LIMIT, LOCKED_MEMORY_LIMIT};
}

static void initialize_process(void)
{
	uint64_t length;
	const char *arguments = program_arguments(&length);
	set_path(bootinfo.argc > 0 ? arguments : "program");
	process.files.umask = 022;
	thread_adopt_boot();
	set_limits();
	if (strace_is_wanted())
		syscall_record();
	descriptors_initialize(&process.files.descriptors, DESCRIPTORS_SOFT_LIMIT);
	if (stream_open_standard(&process.files.descriptors) != 0)
		refuse("there is no memory for its descriptors");
}

/* The program in the root directory, with the path by which it tells itself; or NULL. */
static struct file *program_in_root(void)
{
	struct file *file;
	char *resolved;
	if (program_find(process.path, &file, &resolved) != 0)
		return NULL;
	if (resolved != NULL)
		process.path = resolved;
	return file;
}

/* The VMM has put it into memory. It may have found it in the archive, by a path with links. */
static struct file *program_in_memory(const struct calypso_region *region)
{
	if (bootinfo_find(CALYPSO_REGION_INITRD) != NULL)
		file_put(program_in_root());
	return ramfs_make_image(phys_to_virt(region->physical), region->length, 0755);
}

static struct file *program_file(void)
{
	const struct calypso_region *region = bootinfo_find(CALYPSO_REGION_PROGRAM);
	struct file *file = region == NULL ? program_in_root() : program_in_memory(region);
	if (file == NULL)
		refuse(region == NULL ? "it is not in the root directory" : "there is no memory");
	return file;
}

void program_start(void)
{
	struct program program;
	const char *problem;
	initialize_process();
	inet_start();
	service_initialize();
	if (bootinfo.argc == 0 && service_is_ready())
		service_run_alone();
	process.executable = program_file();
	if (program_check(process.executable, &program, &problem) != 0)
		refuse("%s", problem);

	struct arguments arguments = {.argc = bootinfo.argc, .envc = bootinfo.envc};
	arguments.strings = program_arguments(&arguments.length);
	if (program_load(&program, &arguments, &problem) != 0)
		refuse("%s", problem);
	program_close(&program);
	/* A program that only computes is to be interrupted all the same. */
	if (service_is_ready())
		thread_check_time();
	arch_enter_user(program.entry, program.sp, auxsp_of(current_thread->auxspcb));
}
