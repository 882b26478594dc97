/* What the files of /proc say about the process. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/path.h>
#include <file/procfs/procfs.h>
#include <process/process.h>
#include <process/stack.h>

int procfs_show_name(struct text *text)
{
	text_add(text, "%s\n", process.name);
	return 0;
}

/* What is on the program's stack now. */
static int add_from_stack(struct text *text, user_t start, user_t end)
{
	uint64_t length = end - start;
	if (text->length + length >= text->size)
		return -ERANGE;
	if (user_copy_in(text->buffer + text->length, start, length) != 0)
		return -EFAULT;
	text->length += length;
	return 0;
}

int procfs_show_auxiliary(struct text *text)
{
	return add_from_stack(text, process.auxiliary, process.auxiliary_end);
}

int procfs_show_arguments(struct text *text)
{
	return add_from_stack(text, process.arguments, process.environment);
}

int procfs_show_environment(struct text *text)
{
	return add_from_stack(text, process.environment, process.strings_end);
}

int procfs_show_mappings(struct text *text)
{
	struct space_mapping mapping;
	user_t at = 0;
	for (; space_find(at, &mapping); at = mapping.end) {
		text_add(text, "%08lx-%08lx %c%c%c%c %08lx 00:00 0\n", mapping.start, mapping.end,
			 (mapping.protection & PROT_READ) != 0 ? 'r' : '-',
			 (mapping.protection & PROT_WRITE) != 0 ? 'w' : '-',
			 (mapping.protection & PROT_EXEC) != 0 ? 'x' : '-',
			 (mapping.flags & MAP_TYPE) == MAP_PRIVATE ? 'p' : 's', mapping.offset);
	}
	return 0;
}

/* ---- Numbers ---- */

/* Bytes of all mappings that a program may use. */
static uint64_t mapped_size(void)
{
	struct space_mapping mapping;
	uint64_t size = 0;
	for (user_t at = 0; space_find(at, &mapping); at = mapping.end) {
		if (mapping.protection != PROT_NONE)
			size += mapping.end - mapping.start;
	}
	return size;
}

/* All memory in use counts as the program's: nobody else is there. */
static uint64_t resident_pages(void) { return frame_statistics().used; }

/* As in proc_pid_stat(5): what there is none of is 0. */
int procfs_show_process(struct text *text)
{
	uint64_t hundredths = time_monotonic() / (NANOSECONDS_PER_SECOND / 100);
	text_add(text, "%d (%s) R 0 1 1 0 -1 0 0 0 0 0 %lu 0 0 0 20 0 %u 0 0 ", PROCESS_ID,
		 process.name, hundredths, thread_count());
	text_add(text, "%lu %lu %lu 0 0 %llu 0 0 ", mapped_size(), resident_pages(), UINT64_MAX,
		 USER_END - 1);
	/* signals; exit signal, processor, scheduling; arguments and environment; status */
	text_add(text, "0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 %lu %lu %lu %lu 0\n",
		 process.arguments, process.environment, process.environment, process.strings_end);
	return 0;
}

int procfs_show_process_memory(struct text *text)
{
	uint64_t stack = STACK_SIZE / PAGE_SIZE;
	text_add(text, "%lu %lu 0 0 0 %lu 0\n", mapped_size() / PAGE_SIZE, resident_pages(), stack);
	return 0;
}

static uint64_t signals_with(uint64_t handler)
{
	uint64_t set = 0;
	for (int signal = 1; signal <= SIGNAL_COUNT; signal++) {
		uint64_t its = process.actions[signal - 1].handler;
		bool caught = its != SIG_DFL && its != SIG_IGN;
		if (handler == SIG_IGN ? its == SIG_IGN : caught)
			set |= SIGNAL_BIT(signal);
	}
	return set;
}

static void add_credentials(struct text *text, const struct credentials *of)
{
	text_add(text, "Uid:\t%u\t%u\t%u\t%u\n", of->real_user, of->effective_user,
		 of->saved_user, of->file_user);
	text_add(text, "Gid:\t%u\t%u\t%u\t%u\n", of->real_group, of->effective_group,
		 of->saved_group, of->file_group);
	text_add(text, "FDSize:\t%u\nGroups:\t", file_context()->descriptors.capacity);
	for (uint32_t i = 0; of->groups != NULL && i < of->groups->count; i++)
		text_add(text, i == 0 ? "%u" : " %u", of->groups->groups[i]);
	text_add(text, " \n");
}

int procfs_show_status(struct text *text)
{
	text_add(text, "Name:\t%s\nUmask:\t%04o\nState:\tR (running)\n", process.name,
		 file_context()->umask);
	text_add(text, "Tgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t0\nTracerPid:\t0\n", PROCESS_ID,
		 PROCESS_ID);
	add_credentials(text, credentials());
	text_add(text, "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmRSS:\t%8lu kB\n",
		 mapped_size() / 1024, mapped_size() / 1024, resident_pages() * PAGE_SIZE / 1024);
	text_add(text, "Threads:\t%u\n", thread_count());
	text_add(text, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\n",
		 current_thread->pending.set, process.pending.set, current_thread->blocked);
	text_add(text, "SigIgn:\t%016lx\nSigCgt:\t%016lx\n", signals_with(SIG_IGN),
		 signals_with(SIG_DFL));
	text_add(text, "NoNewPrivs:\t0\nSeccomp:\t0\n");
	text_add(text, "Cpus_allowed:\t1\nCpus_allowed_list:\t0\n");
	return 0;
}

static void add_limit(struct text *text, uint64_t limit)
{
	if (limit == RLIM_INFINITY)
		text_add(text, "%-20s ", "unlimited");
	else
		text_add(text, "%-20lu ", limit);
}

int procfs_show_limits(struct text *text)
{
	static const struct {
		const char *name, *unit;
	} limits[RLIM_NLIMITS] = {
		{"Max cpu time", "seconds"},	     {"Max file size", "bytes"},
		{"Max data size", "bytes"},	     {"Max stack size", "bytes"},
		{"Max core file size", "bytes"},     {"Max resident set", "bytes"},
		{"Max processes", "processes"},	     {"Max open files", "files"},
		{"Max locked memory", "bytes"},	     {"Max address space", "bytes"},
		{"Max file locks", "locks"},	     {"Max pending signals", "signals"},
		{"Max msgqueue size", "bytes"},	     {"Max nice priority", ""},
		{"Max realtime priority", ""},	     {"Max realtime timeout", "us"},
	};
	text_add(text, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (unsigned i = 0; i < RLIM_NLIMITS; i++) {
		text_add(text, "%-25s ", limits[i].name);
		add_limit(text, process.limits[i].rlim_cur);
		add_limit(text, process.limits[i].rlim_max);
		text_add(text, "%-10s\n", limits[i].unit);
	}
	return 0;
}

/* ---- Mounts ---- */

/* The `index`th mount, and where it is; the root first. False past the last. */
static bool mount_of(unsigned index, struct path_mounted *mounted)
{
	if (index > 0)
		return path_mounted(index - 1, mounted);
	*mounted = (struct path_mounted){.root = context_root(file_context()), .path = "/"};
	return mounted->root != NULL;
}

int procfs_show_mounts(struct text *text)
{
	struct path_mounted mounted;
	for (unsigned i = 0; mount_of(i, &mounted); i++) {
		const struct file_system *system = mounted.root->system;
		const char *name = i == 0 && system->magic == TMPFS_MAGIC ? "rootfs" : system->name;
		text_add(text, "%s %s %s %s%s 0 0\n", name, mounted.path, name,
			 system->read_only ? "ro" : "rw", i == 0 ? "" : ",relatime");
	}
	return 0;
}

int procfs_show_mount_details(struct text *text)
{
	struct path_mounted mounted;
	for (unsigned i = 0; mount_of(i, &mounted); i++) {
		const struct file_system *system = mounted.root->system;
		const char *rights = system->read_only ? "ro" : "rw";
		text_add(text, "%u %u 0:%u / %s %s,relatime - %s %s %s\n", i + 1, i == 0 ? 0 : 1,
			 device_minor(system->device), mounted.path, rights, system->name,
			 system->name, rights);
	}
	return 0;
}
