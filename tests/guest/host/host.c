/* What the kernel's pieces need around them to run in a process, and handles for the tests. */
#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/bootinfo.h>
#include <calypso/device_tree.h>
#include <calypso/fault.h>
#include <calypso/log.h>
#include <mm/frames.h>
#include <mm/page_table.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sanitizer.h"

#define HOST_MEMORY (80ull << 30)

uint64_t host_direct_map;
enum log_level log_level = LOG_NONE;

void log_write(enum log_level level, const char *format, ...)
{
	(void)level, (void)format;
}

void panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	abort();
}

/* Translations are looked at by nobody, and always in use. */
bool paging_is_active(void)
{
	return true;
}

bool paging_activate(void)
{
	return false;
}

void arch_halt(void)
{
	abort();
}

/* ---- Memory ---- */

/* What paging.c does, without the mapping. */
static void add_crumbs(void)
{
	for (unsigned i = 0; i < bootinfo.region_count; i++) {
		const struct calypso_region *region = &bootinfo_regions[i];
		struct span part = frames_whole_part(region);

		if (region->type != CALYPSO_REGION_FREE)
			continue;
		frames_put_crumb((struct span){region->physical, part.start});
		frames_put_crumb((struct span){part.end, region->physical + region->length});
	}
}

/* Start with these regions, in memory that reads as zero. */
void host_boot(struct calypso_region *regions, unsigned count, uint64_t features);
void host_boot(struct calypso_region *regions, unsigned count, uint64_t features)
{
	void *memory = mmap(NULL, HOST_MEMORY, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == (void *)-1)
		abort();
	host_direct_map = (uintptr_t)memory;
	sanitizer_watch_memory(host_direct_map, HOST_MEMORY);
	bootinfo_regions = regions;
	bootinfo.region_count = count;
	bootinfo.features = features;
	frames_initialize();
	if (frames_have_whole_chunks())
		frames_set_reserve(add_crumbs);
}

void host_shutdown(void);
void host_shutdown(void)
{
	sanitizer_forget_memory();
	munmap((void *)host_direct_map, HOST_MEMORY);
}

/* Read this as the kernel's command line. */
void host_command_line(const char *line);
void host_command_line(const char *line)
{
	host_direct_map = (uintptr_t)line;
	bootinfo.command_line = 0;
}

/* An address space without anything in it. */
void host_new_space(void);
void host_new_space(void)
{
	page_roots.user = frame_allocate(0, FRAME_ZEROED);
}

/* What the processor would see: 0 where nothing is present, else 1, 3 (writable), +4 (executable),
 * and the first byte of the page in bits 8 to 15. */
unsigned host_look(user_t address);
unsigned host_look(user_t address)
{
	pte_t *entry = user_entry(ALIGN_DOWN(address, PAGE_SIZE), false);

	if (!entry || !pte_is_present(*entry))
		return 0;
	return 1u | (pte_is_writable(*entry) ? 2u : 0) | ((*entry & PTE_NO_EXECUTE) ? 0 : 4u) |
	       (unsigned)*(uint8_t *)phys_to_virt(pte_address(*entry)) << 8;
}

/* Write the first byte of a page as the program would. FAULT_RESOLVED or the reason why not. */
int host_store(user_t address, uint8_t byte);
int host_store(user_t address, uint8_t byte)
{
	unsigned seen = host_look(address);

	if (!(seen & 2)) {
		int result = space_fault(address, PROT_WRITE);

		if (result != FAULT_RESOLVED)
			return result;
	}
	pte_t *entry = user_entry(ALIGN_DOWN(address, PAGE_SIZE), false);
	*(uint8_t *)phys_to_virt(pte_address(*entry)) = byte;
	return FAULT_RESOLVED;
}

/* Read it likewise: the byte, or ~reason. */
int host_load(user_t address);
int host_load(user_t address)
{
	if (!(host_look(address) & 1)) {
		int result = space_fault(address, PROT_READ);

		if (result != FAULT_RESOLVED)
			return ~result;
	}
	return (int)(host_look(address) >> 8);
}

/* ---- Device trees ---- */

struct search {
	const char *compatible;
	struct device_range *ranges;
	unsigned found, room;
};

static void visit(const struct device_node *node, void *context)
{
	struct search *search = context;

	if (!device_node_is(node, search->compatible))
		return;
	for (unsigned i = 0; search->found < search->room &&
			     device_node_range(node, i, &search->ranges[search->found]);
	     i++)
		search->found++;
}

/* The ranges of all nodes with this `compatible`; how many, or -1 where the tree is broken. */
int tree_ranges(const void *blob, uint64_t length, const char *compatible,
		struct device_range *ranges, unsigned room);
int tree_ranges(const void *blob, uint64_t length, const char *compatible,
		struct device_range *ranges, unsigned room)
{
	struct search search = {compatible, ranges, 0, room};

	host_direct_map = (uintptr_t)blob;
	if (!device_tree_visit(0, length, visit, &search))
		return -1;
	return (int)search.found;
}
