/* The kernel's own page table: built from bootinfo's regions, switched to once. */
#include "mm/frames.h"
#include "mm/page_table.h"

#include <calypso/boot.h>
#include <calypso/bootinfo.h>
#include <calypso/device.h>
#include <calypso/errno.h>
#include <calypso/log.h>

/* Adjacent regions that can be mapped together. */
struct run {
	uint64_t virtual;
	physical_t physical;
	uint64_t length;
	unsigned rights;
	bool device;
};

static void map_piece(const struct run *run, uint64_t start, uint64_t end)
{
	if (start < end &&
	    !page_table_map(page_roots.kernel, start, run->physical + (start - run->virtual),
			    end - start, run->rights, run->device))
		panic("no memory for the kernel's page tables");
}

/* Map a run, leaving out the guard pages of the stacks in the kernel's image. */
static void map_run(const struct run *run)
{
	const uint64_t guards[] = {(uintptr_t)boot_stack_guard, (uintptr_t)fatal_stack_guard};
	uint64_t at = run->virtual, end = run->virtual + run->length;

	for (unsigned i = 0; i < ARRAY_SIZE(guards); i++) {
		if (guards[i] < at || guards[i] >= end)
			continue;
		map_piece(run, at, guards[i]);
		at = guards[i] + PAGE_SIZE;
	}
	map_piece(run, at, end);
}

static bool continues(const struct run *run, const struct calypso_region *region)
{
	return run->length != 0 && region->physical == run->physical + run->length &&
	       region->virtual == run->virtual + run->length && region->flags == run->rights &&
	       (region->type == CALYPSO_REGION_DEVICE) == run->device;
}

static void check_region(const struct calypso_region *region)
{
	const unsigned write_execute = CALYPSO_REGION_WRITE | CALYPSO_REGION_EXECUTE;

	if ((region->flags & write_execute) == write_execute)
		panic("region \"%.16s\" at 0x%lx is both writable and executable", region->name,
		      region->physical);
	if (region->virtual < DIRECT_MAP_BASE ||
	    region->virtual - DIRECT_MAP_BASE > DIRECT_MAP_SIZE - region->length)
		panic("region \"%.16s\" at 0x%lx is not the kernel's, but at 0x%lx", region->name,
		      region->physical, region->virtual);
}

static void map_regions(void)
{
	struct run run = {0};

	for (unsigned i = 0; i < bootinfo.region_count; i++) {
		const struct calypso_region *region = &bootinfo_regions[i];

		if (region->type == CALYPSO_REGION_RESERVED)
			continue;
		check_region(region);
		if (continues(&run, region)) {
			run.length += region->length;
			continue;
		}
		map_run(&run);
		run = (struct run){region->virtual, region->physical, region->length,
				   region->flags, region->type == CALYPSO_REGION_DEVICE};
	}
	map_run(&run);
}

static physical_t new_root(void)
{
	physical_t root = frame_allocate(0, FRAME_ZEROED);

	if (root == FRAME_NONE)
		panic("no memory for the kernel's page tables");
	return root;
}

void paging_initialize(void)
{
	page_roots.kernel = new_root();
	page_roots.user = PAGE_ROOTS_SHARED ? page_roots.kernel : new_root();
	map_regions();
	arch_switch_tables(page_roots);
}

int device_map(physical_t address, uint64_t length)
{
	physical_t end;

	if (length == 0 || __builtin_add_overflow(address, length, &end) || end > DIRECT_MAP_SIZE)
		return -EINVAL;
	for (physical_t page = ALIGN_DOWN(address, PAGE_SIZE); page < end; page += PAGE_SIZE) {
		uint64_t virtual = page + DIRECT_MAP_BASE;

		if (page_table_is_mapped(page_roots.kernel, virtual))
			continue;
		if (!page_table_map(page_roots.kernel, virtual, page, PAGE_SIZE,
				    CALYPSO_REGION_READ | CALYPSO_REGION_WRITE, true))
			return -ENOMEM;
	}
	arch_entries_written();
	return 0;
}

/* ---- The end of boot ---- */

/* The pages of BOOT memory from the first to the last that is still needed. The VMM puts what they
 * hold side by side. */
struct kept {
	physical_t start, end;
};

static void keep(struct kept *kept, physical_t start, uint64_t length)
{
	physical_t end = ALIGN_UP(start + length, PAGE_SIZE);

	start = ALIGN_DOWN(start, PAGE_SIZE);
	if (kept->start > start)
		kept->start = start;
	if (kept->end < end)
		kept->end = end;
}

static void release(physical_t start, physical_t end)
{
	if (start < end)
		frames_add(start, (end - start) >> PAGE_SHIFT);
}

void boot_memory_release(void)
{
	struct kept kept = {UINT64_MAX, 0};

	keep(&kept, bootinfo.regions, bootinfo.region_capacity * sizeof(struct calypso_region));
	keep(&kept, bootinfo.command_line, bootinfo.command_line_length + 1);
	keep(&kept, bootinfo.arguments, bootinfo.arguments_length);
	for (unsigned i = 0; i < bootinfo.region_count; i++) {
		physical_t start = bootinfo_regions[i].physical;
		physical_t end = start + bootinfo_regions[i].length;

		if (bootinfo_regions[i].type != CALYPSO_REGION_BOOT)
			continue;
		release(start, kept.start < end ? kept.start : end);
		release(kept.end > start ? kept.end : start, end);
	}
}
