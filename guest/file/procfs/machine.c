/* What the files of /proc say about the machine and the kernel. */
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/procfs/procfs.h>
#include <process/process.h>
#include <process/random.h>
#include <process/system.h>

#define HUNDREDTH (NANOSECONDS_PER_SECOND / 100)

int procfs_show_version(struct text *text)
{
	struct utsname name;
	system_describe(&name);
	text_add(text, "%s version %s (calypso) %s\n", name.sysname, name.release, name.version);
	return 0;
}

int procfs_show_uptime(struct text *text)
{
	uint64_t hundredths = time_monotonic() / HUNDREDTH;
	text_add(text, "%lu.%02lu 0.00\n", hundredths / 100, hundredths % 100);
	return 0;
}

int procfs_show_memory(struct text *text)
{
	struct frame_statistics memory = frame_statistics();
	uint64_t total = memory.total * PAGE_SIZE / 1024;
	uint64_t available = (memory.total - memory.used) * PAGE_SIZE / 1024;
	text_add(text, "MemTotal:       %8lu kB\n", total);
	text_add(text, "MemFree:        %8lu kB\n", available);
	text_add(text, "MemAvailable:   %8lu kB\n", available);
	text_add(text, "Buffers:        %8u kB\n", 0);
	text_add(text, "Cached:         %8u kB\n", 0);
	text_add(text, "SwapTotal:      %8u kB\n", 0);
	text_add(text, "SwapFree:       %8u kB\n", 0);
	return 0;
}

int procfs_show_swap(struct text *text)
{
	text_add(text, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	return 0;
}

/* Nothing is ever paged out, or counted. */
int procfs_show_paging(struct text *text)
{
	struct frame_statistics memory = frame_statistics();
	text_add(text, "nr_free_pages %lu\n", memory.total - memory.used);
	text_add(text, "pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n");
	return 0;
}

int procfs_show_file_systems(struct text *text)
{
	text_add(text, "nodev\tproc\nnodev\ttmpfs\n");
	return 0;
}

/* Nobody but the program computes, so that all time is the program's. */
int procfs_show_machine(struct text *text)
{
	uint64_t hundredths = time_monotonic() / HUNDREDTH;
	text_add(text, "cpu  %lu 0 0 0 0 0 0 0 0 0\ncpu0 %lu 0 0 0 0 0 0 0 0 0\n", hundredths,
		 hundredths);
	text_add(text, "intr 0\nctxt 0\nbtime %llu\nprocesses 1\n",
		 (uint64_t)file_start_time() / NANOSECONDS_PER_SECOND);
	text_add(text, "procs_running 1\nprocs_blocked 0\n");
	return 0;
}

int procfs_show_load(struct text *text)
{
	text_add(text, "0.00 0.00 0.00 1/%u %d\n", thread_count(), PROCESS_ID);
	return 0;
}

int procfs_show_processor(struct text *text)
{
	text_add(text, "processor\t: 0\n");
	arch_describe_processor(text);
	text_add(text, "\n");
	return 0;
}

int procfs_show_command_line(struct text *text)
{
	text_add(text, "%s\n", command_line());
	return 0;
}

/* ---- /proc/sys ---- */

int procfs_show_system_name(struct text *text)
{
	struct utsname name;
	system_describe(&name);
	text_add(text, "%s\n", name.sysname);
	return 0;
}

int procfs_show_release(struct text *text)
{
	struct utsname name;
	system_describe(&name);
	text_add(text, "%s\n", name.release);
	return 0;
}

int procfs_show_host_name(struct text *text)
{
	struct utsname name;
	system_describe(&name);
	text_add(text, "%s\n", name.nodename);
	return 0;
}

int procfs_show_id_limit(struct text *text)
{
	text_add(text, "%d\n", INT32_MAX);
	return 0;
}

int procfs_show_mapping_limit(struct text *text)
{
	text_add(text, "%d\n", SPACE_AREAS_MAX);
	return 0;
}

/* Memory is taken when it is touched: always promise. */
int procfs_show_overcommit(struct text *text)
{
	text_add(text, "1\n");
	return 0;
}

int procfs_show_entropy(struct text *text)
{
	text_add(text, "%d\n", random_is_trusted() ? 256 : 0);
	return 0;
}

/* A random identifier (RFC 9562, 5.4). */
static void add_uuid(struct text *text, const uint8_t bytes[16])
{
	for (unsigned i = 0; i < 16; i++) {
		uint8_t byte = bytes[i];
		if (i == 6)
			byte = 0x40 | (byte & 0x0f);
		if (i == 8)
			byte = 0x80 | (byte & 0x3f);
		text_add(text, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", byte);
	}
	text_add(text, "\n");
}

int procfs_show_uuid(struct text *text)
{
	uint8_t bytes[16];
	random_fill(bytes, sizeof(bytes));
	add_uuid(text, bytes);
	return 0;
}

int procfs_show_boot_id(struct text *text)
{
	static uint8_t bytes[16];
	static bool made;
	if (!made)
		random_fill(bytes, sizeof(bytes));
	made = true;
	add_uuid(text, bytes);
	return 0;
}
