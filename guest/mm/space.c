/* The program's address space: areas in a rank-balanced tree, by address. */
#include "mm/space.h"

#include <calypso/errno.h>
#include <calypso/fault.h>

/* Kept free below a stack, so that running over its end is a fault (stack_guard_gap of Linux). */
#define STACK_GAP (256 * PAGE_SIZE)

#define PROTECTIONS (PROT_READ | PROT_WRITE | PROT_EXEC)

static struct {
	struct rank_tree areas;
	unsigned count;
	user_t break_start, break_end;
	user_t hint; /* free areas are looked for from here downwards first */
} space = {.hint = USER_END};

static struct area *area_of(struct rank_node *node)
{
	return node ? container_of(node, struct area, node) : NULL;
}

struct area *area_at_or_above(user_t address)
{
	struct rank_node *node = space.areas.root;
	struct area *best = NULL;

	while (node) {
		struct area *area = area_of(node);

		if (address < area->end) {
			best = area;
			node = node->child[0];
		} else {
			node = node->child[1];
		}
	}
	return best;
}

struct area *area_at(user_t address)
{
	struct area *area = area_at_or_above(address);

	return area && area->start <= address ? area : NULL;
}

/* The last area that ends at or below `address`. */
static struct area *area_below(user_t address)
{
	struct area *above = area_at_or_above(address);

	if (!above)
		return area_of(rank_tree_last(&space.areas));
	return area_of(rank_node_previous(&above->node));
}

void area_insert(struct area *area)
{
	struct rank_node **link = &space.areas.root, *parent = NULL;

	while (*link) {
		parent = *link;
		link = &parent->child[area->start > area_of(parent)->start];
	}
	rank_tree_insert(&space.areas, &area->node, parent, link);
	space.count++;
}

void area_acquire_source(const struct area *area)
{
	if (area->source && area->source->operations->acquire)
		area->source->operations->acquire(area->source);
}

static void discard(struct area *area)
{
	rank_tree_remove(&space.areas, &area->node);
	space.count--;
	if (area->source && area->source->operations->release)
		area->source->operations->release(area->source);
	kfree(area);
}

/* ---- Splitting and merging ---- */

/* Cut an area in two; `at` is inside it. */
static int split(struct area *area, user_t at)
{
	struct area *rest;

	if (space.count >= SPACE_AREAS_MAX || !(rest = kmalloc(sizeof(*rest))))
		return -ENOMEM;
	*rest = *area;
	rest->start = at;
	rest->offset += at - area->start;
	area->end = at;
	area_acquire_source(rest);
	area_insert(rest);
	return 0;
}

/* Make sure that no area reaches across `at`. */
static int cut(user_t at)
{
	struct area *area = area_at(at);

	return area && area->start < at ? split(area, at) : 0;
}

static bool continues(const struct area *area, const struct area *next)
{
	return area->end == next->start && area->protection == next->protection &&
	       area->flags == next->flags && area->source == next->source &&
	       (!area->source || area->offset + (area->end - area->start) == next->offset);
}

static bool merge_with_next(struct area *area)
{
	struct area *next = area ? area_next(area) : NULL;

	if (!next || !continues(area, next))
		return false;
	user_t end = next->end;
	discard(next);
	area->end = end;
	return true;
}

void area_merge_around(struct area *area)
{
	struct rank_node *before = rank_node_previous(&area->node);

	merge_with_next(area);
	merge_with_next(area_of(before));
}

/* Unite what can be united in [start, end) and with its neighbours. */
static void merge_range(user_t start, user_t end)
{
	struct area *area = area_below(start);

	if (!area)
		area = area_of(rank_tree_first(&space.areas));
	for (; area && area->start <= end; area = area_next(area))
		while (merge_with_next(area))
			;
}

/* ---- Finding room ---- */

/* Where what lies below an area must end. */
static user_t end_below(const struct area *area)
{
	if (!(area->flags & MAP_GROWSDOWN))
		return area->start;
	return area->start > USER_START + STACK_GAP ? area->start - STACK_GAP : USER_START;
}

bool space_is_free(user_t start, uint64_t length)
{
	const struct area *above = area_at_or_above(start);

	return !above || (above->start > start && end_below(above) >= start + length);
}

/* The highest free range that ends at or below `limit`; 0 where there is none. */
static user_t find_room_below(user_t limit, uint64_t length)
{
	const struct area *above = area_at_or_above(limit - 1);
	user_t end = limit;

	if (above && end_below(above) < end)
		end = end_below(above);
	for (;;) {
		const struct area *below = area_below(end);
		user_t bottom = below ? below->end : USER_START;

		if (end >= bottom && end - bottom >= length)
			return end - length;
		if (!below)
			return 0;
		end = end_below(below);
	}
}

user_t space_find_room(uint64_t length)
{
	user_t found = find_room_below(space.hint, length);

	if (!found && space.hint != USER_END)
		found = find_room_below(USER_END, length);
	if (found)
		space.hint = found;
	return found;
}

/* ---- mmap ---- */

static int check_map(uint64_t length, int protection, int flags, const struct page_source *source,
		     uint64_t offset)
{
	int type = flags & MAP_TYPE;
	bool is_of_no_type =
		(type != MAP_PRIVATE) & (type != MAP_SHARED) & (type != MAP_SHARED_VALIDATE);
	bool is_anonymous = (flags & MAP_ANONYMOUS) != 0;

	if ((length == 0) | ((offset & PAGE_MASK) != 0) | ((protection & ~PROTECTIONS) != 0) |
	    is_of_no_type | (is_anonymous != (source == NULL)))
		return -EINVAL;
	if (length > USER_END - USER_START)
		return -ENOMEM;
	return source && offset > INT64_MAX - length ? -EOVERFLOW : 0;
}

/* Where a mapping goes, made free: its address, or -errno. */
static int64_t place(user_t address, uint64_t length, int flags)
{
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
		if ((address & PAGE_MASK) != 0)
			return -EINVAL;
		if (address > USER_END - length)
			return -ENOMEM;
		if (address < USER_START)
			return -EPERM;
		const struct area *above = area_at_or_above(address);
		if (!above || above->start >= address + length)
			return (int64_t)address;
		if (flags & MAP_FIXED_NOREPLACE)
			return -EEXIST;
		int error = space_unmap(address, length);
		return error ? error : (int64_t)address;
	}
	address = ALIGN_DOWN(address, PAGE_SIZE);
	if (address >= USER_START && address <= USER_END - length && space_is_free(address, length))
		return (int64_t)address;
	address = space_find_room(length);
	return address ? (int64_t)address : -ENOMEM;
}

int64_t space_map(user_t address, uint64_t length, int protection, int flags,
		  struct page_source *source, uint64_t offset)
{
	int error = check_map(length, protection, flags, source, offset);

	if (error)
		return error;
	length = ALIGN_UP(length, PAGE_SIZE);
	struct area *area = kmalloc(sizeof(*area));
	if (!area || space.count >= SPACE_AREAS_MAX) {
		kfree(area);
		return -ENOMEM;
	}
	int64_t start = place(address, length, flags);
	if (start < 0) {
		kfree(area);
		return start;
	}
	*area = (struct area){
		.start = (user_t)start,
		.end = (user_t)start + length,
		.protection = protection,
		.flags = flags & SPACE_KEPT_FLAGS,
		.source = source,
		.offset = source ? offset : 0,
	};
	area_acquire_source(area);
	area_insert(area);
	if (flags & MAP_POPULATE)
		pages_populate(area, area->start, area->end,
			       (protection & PROT_WRITE) ? PROT_WRITE : PROT_READ);
	area_merge_around(area);
	return start;
}

/* ---- munmap, mprotect, madvise ---- */

bool space_check_range(user_t start, uint64_t *length)
{
	if ((start & PAGE_MASK) != 0 || *length > USER_END || start > USER_END - *length)
		return false;
	*length = ALIGN_UP(*length, PAGE_SIZE);
	return true;
}

int space_cut_range(user_t start, user_t end)
{
	int error = cut(start);

	return error ? error : cut(end);
}

int space_unmap(user_t start, uint64_t length)
{
	if (length == 0 || !space_check_range(start, &length))
		return -EINVAL;
	user_t end = start + length;
	struct area *area = area_at_or_above(start);
	if (!area || area->start >= end)
		return 0;
	int error = space_cut_range(start, end);
	if (error)
		return error;

	while ((area = area_at_or_above(start)) && area->start < end) {
		pages_unmap(area->start, area->end);
		discard(area);
	}
	const struct area *below = area_below(start);
	user_tables_prune(start, end, below ? below->end : 0, area ? area->start : USER_END);
	if (space.hint < end)
		space.hint = end;
	return 0;
}

static bool may_protect(const struct area *area, int protection)
{
	return (area->flags & MAP_READ_ONLY) == 0 || (protection & PROT_WRITE) == 0;
}

int space_protect(user_t start, uint64_t length, int protection)
{
	protection &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
	if ((protection & ~PROTECTIONS) != 0 || (start & PAGE_MASK) != 0)
		return -EINVAL;
	if (length == 0)
		return 0;
	if (!space_check_range(start, &length))
		return -ENOMEM;

	user_t at = start, end = start + length;
	int error = 0;
	while (at < end && !error) {
		struct area *area = area_at(at);

		if (!area)
			error = -ENOMEM;
		else if (!may_protect(area, protection))
			error = -EACCES;
		else if (!(error = space_cut_range(at, area->end < end ? area->end : end))) {
			area = area_at(at);
			area->protection = protection;
			pages_protect(area, area->start, area->end);
			at = area->end;
		}
	}
	merge_range(start, at);
	return error;
}

static void advise(const struct area *area, user_t start, user_t end, int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE:
		pages_unmap(start, end);
		return;
	case MADV_WILLNEED:
		if (area->source)
			pages_populate(area, start, end, PROT_READ);
		return;
	}
}

/* The access that pages are populated for; 0 of other advice. */
static unsigned populates(int advice)
{
	return advice == MADV_POPULATE_READ ? PROT_READ : advice == MADV_POPULATE_WRITE ? PROT_WRITE : 0;
}

/* Apply `advice` to what is mapped of [start, end); -ENOMEM where something is not. Populating ends
 * there, and with -EINVAL where it may not be. */
static int advise_range(user_t start, user_t end, int advice)
{
	unsigned access = populates(advice);
	int result = 0;

	for (struct area *area = area_at_or_above(start); start < end; area = area_next(area)) {
		if (!area || area->start >= end || (access && area->start > start))
			return -ENOMEM;
		if (area->start > start) {
			result = -ENOMEM;
			start = area->start;
		}
		user_t stop = area->end < end ? area->end : end;

		if (access && !area_allows(area, access))
			return -EINVAL;
		if (access)
			pages_populate(area, start, stop, access);
		else
			advise(area, start, stop, advice);
		start = stop;
	}
	return result;
}

int space_advise(user_t start, uint64_t length, int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_FREE:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		break;
	default:
		return -EINVAL;
	}
	if (!space_check_range(start, &length))
		return -EINVAL;
	return advise_range(start, start + length, advice);
}

/* ---- brk ---- */

void space_set_break(user_t start)
{
	space.break_start = space.break_end = ALIGN_UP(start, PAGE_SIZE);
}

user_t space_break(user_t address)
{
	user_t old = ALIGN_UP(space.break_end, PAGE_SIZE);

	if (address < space.break_start || address > USER_END)
		return space.break_end;
	user_t new = ALIGN_UP(address, PAGE_SIZE);
	if (new < old && space_unmap(new, old - new))
		return space.break_end;
	if (new > old && space_map(old, new - old, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, NULL, 0) < 0)
		return space.break_end;
	return space.break_end = address;
}

/* ---- Looking ---- */

bool space_find(user_t address, struct space_mapping *mapping)
{
	const struct area *area = area_at_or_above(address);

	if (!area)
		return false;
	*mapping = (struct space_mapping){
		.start = area->start,
		.end = area->end,
		.protection = area->protection,
		.flags = area->flags,
		.source = area->source,
		.offset = area->offset,
	};
	return true;
}
