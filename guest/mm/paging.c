/* The kernel's own page table: built from bootinfo's regions, switched to once, when boot is over.
 *
 * Memory that nobody needs yet and that would have to be mapped page by page is mapped when the
 * frame allocator asks for it: crumbs of FREE regions, and BOOT memory.
 */
#include "mm/frames.h"
#include "mm/page_table.h"

#include <calypso/boot.h>
#include <calypso/bootinfo.h>
#include <calypso/device.h>
#include <calypso/errno.h>
#include <calypso/log.h>

static void map_part(const struct calypso_region *region, struct span part)
{
	uint64_t virtual = region->virtual + (part.start - region->physical);
	bool device = region->type == CALYPSO_REGION_DEVICE;

	if (part.start < part.end &&
	    !page_table_map(page_roots.kernel, virtual, part.start, part.end - part.start,
			    region->flags, device))
		panic("no memory for the kernel's page tables");
}

/* ---- What is needed at once, and the reserve ---- */

/* The pages of BOOT memory from the first to the last that stay in use. The VMM puts what they hold
 * side by side. */
static struct span kept;

static struct span with(struct span span, physical_t start, uint64_t length)
{
	physical_t end = start + length;

	return (struct span){span.start < start ? span.start : start, span.end > end ? span.end : end};
}

static void find_kept(void)
{
	struct span span = {UINT64_MAX, 0};

	span = with(span, bootinfo.regions, bootinfo.region_capacity * sizeof(struct calypso_region));
	span = with(span, bootinfo.command_line, bootinfo.command_line_length + 1);
	span = with(span, bootinfo.arguments, bootinfo.arguments_length);
	if (bootinfo_has(CALYPSO_FEATURE_GENERATION))
		span = with(span, bootinfo.generation, sizeof(struct calypso_generation));
	kept = (struct span){ALIGN_DOWN(span.start, PAGE_SIZE), ALIGN_UP(span.end, PAGE_SIZE)};
}

/* The part of a region that is mapped at once: all, but of free memory what the allocator starts
 * with, and of boot memory what stays. */
static struct span first_part(const struct calypso_region *region)
{
	struct span whole = {region->physical, region->physical + region->length};

	if (region->type == CALYPSO_REGION_FREE)
		return frames_whole_part(region);
	if (region->type != CALYPSO_REGION_BOOT)
		return whole;
	struct span part = kept;
	if (part.start < whole.start)
		part.start = whole.start;
	if (part.end > whole.end)
		part.end = whole.end;
	return part.start < part.end ? part : (struct span){whole.end, whole.end};
}

/* Call `act` for what `first_part` left out. */
static void for_each_rest(void (*act)(const struct calypso_region *region, struct span rest))
{
	for (unsigned i = 0; i < bootinfo.region_count; i++) {
		const struct calypso_region *region = &bootinfo_regions[i];
		struct span part = first_part(region);

		if (region->physical < part.start)
			act(region, (struct span){region->physical, part.start});
		if (part.end < region->physical + region->length)
			act(region, (struct span){part.end, region->physical + region->length});
	}
}

static void add_crumb(const struct calypso_region *region, struct span rest)
{
	if (region->type == CALYPSO_REGION_FREE)
		frames_put_crumb(rest);
}

static void add_boot_memory(const struct calypso_region *region, struct span rest)
{
	if (region->type == CALYPSO_REGION_BOOT)
		frames_add(rest);
}

static bool built, active;
static bool everything_is_mapped;

/* The allocator has opened its last whole chunk: there is enough for page tables, and the time has
 * come for what costs a page table entry for each page. */
static void add_reserve(void)
{
	for_each_rest(map_part);
	for_each_rest(add_crumb);
	everything_is_mapped = true;
	if (active)
		for_each_rest(add_boot_memory);
}

/* ---- Boot ---- */

static void check_region(const struct calypso_region *region)
{
	const unsigned write_execute = CALYPSO_REGION_WRITE | CALYPSO_REGION_EXECUTE;

	if ((region->flags & write_execute) == write_execute)
		panic("region \"%.16s\" at 0x%lx is both writable and executable", region->name,
		      region->physical);
	/* What is below the base is far above the size, for the difference wraps. */
	static_assert(DIRECT_MAP_SIZE <= -DIRECT_MAP_BASE, "wraps to no less");
	if (region->virtual - DIRECT_MAP_BASE > DIRECT_MAP_SIZE - region->length)
		panic("region \"%.16s\" at 0x%lx is not the kernel's, but at 0x%lx", region->name,
		      region->physical, region->virtual);
}

static void map_regions(void)
{
	for (unsigned i = 0; i < bootinfo.region_count; i++) {
		const struct calypso_region *region = &bootinfo_regions[i];

		/* A guard, or memory that the kernel must not touch. */
		if (region->flags == 0 || region->type == CALYPSO_REGION_RESERVED)
			continue;
		check_region(region);
		map_part(region, first_part(region));
	}
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
	find_kept();
	map_regions();
	if (frames_have_whole_chunks()) {
		frames_set_reserve(add_reserve);
	} else {
		/* The allocator uses its crumbs already, and so do the tables. */
		for_each_rest(map_part);
		everything_is_mapped = true;
	}
	built = true;
}

bool paging_activate(void)
{
	if (!built || active)
		return false;
	arch_require_privilege();
	/* That may have come here by itself. */
	if (active)
		return true;
	arch_switch_tables(page_roots);
	active = true;
	/* The initial tables, which lie in it, are out of use. */
	if (everything_is_mapped)
		for_each_rest(add_boot_memory);
	return true;
}

struct page_roots paging_begin(void)
{
	/* The initial tables are given away then. */
	if (everything_is_mapped)
		paging_activate();
	active = true;
	return page_roots;
}

bool paging_is_active(void)
{
	return active;
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
