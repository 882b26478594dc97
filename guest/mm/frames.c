/* Frames: a buddy allocator inside chunks of 2 MiB, and chunks that nobody looks at before they are
 * needed.
 *
 * RAM is divided into zones (banks of memory with small holes), zones into chunks. A chunk's record
 * holds one bit for each block of each order that is free and has no free buddy. Records lie in the
 * zone itself and are written when the zone's frontier reaches them, so that boot costs the same
 * with 2 MB as with 64 GB. Free memory is never written to: what was zero when the machine started
 * stays known to be zero until it is given out.
 *
 * Chunks with free blocks hang in lists by the largest of them; taking from the smallest sufficient
 * keeps large blocks whole. Blocks above 2 MiB are runs of free chunks.
 *
 * At first only chunks that are free as a whole are used. The crumbs of FREE regions besides them
 * would have to be mapped page by page, so they are a reserve: paging.c maps and adds them when
 * the last whole chunk has been opened. A machine without whole chunks uses its crumbs at once.
 *
 * The kernel is not preempted and runs on one processor: there is no lock.
 */
#include "mm/frames.h"

#include "mm/chunk.h"

#include <calypso/boot.h>
#include <calypso/bootinfo.h>
#include <calypso/lib.h>
#include <calypso/log.h>

#define ZONES_MAX 8

/* A hole of this size starts another zone: below, the records of its chunks are unused memory. */
#define ZONE_HOLE (1ull << 30)

struct zone {
	struct chunk *chunks;
	physical_t base;     /* of the first chunk */
	uint32_t count;	     /* of chunks */
	/* Chunks in [frontier, whole_end) have not been looked at; behind are only crumbs. */
	uint32_t frontier, whole_end;
	struct span records;
};

static struct zone zones[ZONES_MAX];
static unsigned zone_count;
static struct chunk *lists[CHUNK_ORDERS];
static unsigned nonempty; /* bit o: lists[o] is not empty */
static struct frame_statistics statistics;
static bool no_whole_chunks;
static uint64_t unopened; /* chunks between the frontiers of all zones and their whole_end */
static void (*add_reserve)(void);
static bool reserve_is_due;

/* Single frames come from here: the rest of a block that was taken out of its chunk as a whole. It
 * still counts as free. */
#define OPEN_ORDER 4
static struct {
	physical_t next, end;
	bool written; /* by an earlier owner */
} open_block;

/* ---- Lists of chunks ---- */

static void list_remove(struct chunk *chunk, int order)
{
	if (chunk->previous)
		chunk->previous->next = chunk->next;
	else
		lists[order] = chunk->next;
	if (chunk->next)
		chunk->next->previous = chunk->previous;
	if (!lists[order])
		nonempty &= ~(1u << order);
}

static void list_add(struct chunk *chunk, int order)
{
	chunk->previous = NULL;
	chunk->next = lists[order];
	if (chunk->next)
		chunk->next->previous = chunk;
	lists[order] = chunk;
	nonempty |= 1u << order;
}

/* Put the chunk where it belongs now; `before` was its largest order. */
static void list_move(struct chunk *chunk, int before)
{
	int now = chunk_largest_order(chunk);

	if (now == before)
		return;
	if (before >= 0)
		list_remove(chunk, before);
	if (now >= 0)
		list_add(chunk, now);
}

/* ---- Zones and their frontier ---- */

static physical_t region_end(unsigned index)
{
	return bootinfo_regions[index].physical + bootinfo_regions[index].length;
}

struct span frames_whole_part(const struct calypso_region *region)
{
	physical_t end = region->physical + region->length;
	struct span part = {ALIGN_UP(region->physical, CHUNK_SIZE), ALIGN_DOWN(end, CHUNK_SIZE)};

	if (part.start >= part.end || no_whole_chunks)
		part = (struct span){end, end};
	return part;
}

bool frames_have_whole_chunks(void)
{
	return !no_whole_chunks;
}

/* The number of the first frame in this chunk that does not hold records. */
static unsigned behind_records(const struct zone *zone, const struct chunk *chunk)
{
	if (zone->records.end <= chunk->base || zone->records.start >= chunk->base + CHUNK_SIZE)
		return 0;
	physical_t end = zone->records.end - chunk->base;
	return end < CHUNK_SIZE ? (unsigned)(end >> PAGE_SHIFT) : CHUNK_FRAMES;
}

/* All frames from `frame` on are free: the largest blocks are, which have no free buddies. */
static void mark_free_to_end(struct chunk *chunk, unsigned frame)
{
	while (frame < CHUNK_FRAMES) {
		unsigned order = chunk_fitting_order(frame, CHUNK_FRAMES - frame);

		chunk_mark_free(chunk, frame, order);
		frame += 1u << order;
	}
}

/* The chunk with its record written. */
static struct chunk *prepare(struct zone *zone, uint64_t index)
{
	struct chunk *chunk = &zone->chunks[index];

	if (chunk->ready)
		return chunk;
	chunk->ready = true;
	chunk->base = zone->base + index * CHUNK_SIZE;
	for (unsigned i = 0; i < bootinfo.region_count; i++) {
		const struct calypso_region *region = &bootinfo_regions[i];

		if (region->type != CALYPSO_REGION_FREE)
			continue;
		struct span part = frames_whole_part(region);
		if (chunk->base >= part.start && chunk->base < part.end)
			mark_free_to_end(chunk, behind_records(zone, chunk));
	}
	list_move(chunk, -1);
	return chunk;
}

static struct zone *zone_of(physical_t address)
{
	for (unsigned i = 0; i < zone_count; i++)
		if (address >= zones[i].base &&
		    address - zones[i].base < zones[i].count * CHUNK_SIZE)
			return &zones[i];
	panic("0x%lx is not in RAM", address);
}

static struct chunk *chunk_of(physical_t address)
{
	struct zone *zone = zone_of(address);

	return prepare(zone, (address - zone->base) / CHUNK_SIZE);
}

/* The next chunk that nobody has looked at, or NULL. */
static struct chunk *open_chunk(void)
{
	for (unsigned i = 0; i < zone_count; i++) {
		struct zone *zone = &zones[i];

		if (zone->frontier >= zone->whole_end)
			continue;
		reserve_is_due = --unopened == 0;
		return prepare(zone, zone->frontier++);
	}
	return NULL;
}

/* A chunk with a free block of at least this order. */
static struct chunk *find_chunk(unsigned order)
{
	unsigned candidates = nonempty >> order;
	struct chunk *chunk;

	if (candidates != 0)
		return lists[order + (unsigned)__builtin_ctz(candidates)];
	while ((chunk = open_chunk()))
		if (chunk->orders >> order != 0)
			return chunk;
	return NULL;
}

/* Put free frames where they belong. */
static void put_span(struct span span, bool written)
{
	while (span.start < span.end) {
		struct chunk *chunk = chunk_of(span.start);
		unsigned frame = (unsigned)((span.start - chunk->base) >> PAGE_SHIFT);
		unsigned order = chunk_fitting_order(frame, (span.end - span.start) >> PAGE_SHIFT);
		int before = chunk_largest_order(chunk);

		if (written)
			chunk_mark_written(chunk, frame, order);
		chunk_put(chunk, frame, order);
		list_move(chunk, before);
		span.start += PAGE_SIZE << order;
	}
}

void frames_put_crumb(struct span crumb)
{
	for (unsigned i = 0; i < zone_count; i++)
		if (crumb.start == zones[i].records.start)
			crumb.start = zones[i].records.end;
	put_span(crumb, false);
}

/* Place the records of a zone's chunks at the start of the first part with room. */
static void place_records(struct zone *zone, struct span part, uint64_t size)
{
	if (zone->chunks || part.end - part.start < size)
		return;
	zone->chunks = phys_to_virt(part.start);
	zone->records = (struct span){part.start, part.start + size};
	if (!bootinfo_has(CALYPSO_FEATURE_ZEROED_RAM))
		memset(zone->chunks, 0, size);
}

/* Count the free memory of a zone's regions, find its first and last whole chunk, and place the records of
 * its chunks. */
static uint64_t survey(struct zone *zone, unsigned first, unsigned end)
{
	uint64_t size = ALIGN_UP(zone->count * sizeof(struct chunk), PAGE_SIZE);
	uint64_t free = 0;

	for (unsigned i = first; i < end; i++) {
		const struct calypso_region *region = &bootinfo_regions[i];

		if (region->type != CALYPSO_REGION_FREE)
			continue;
		free += region->length;
		struct span part = frames_whole_part(region);
		if (no_whole_chunks)
			part.start = region->physical;
		place_records(zone, part, size);
		if (no_whole_chunks || part.start >= part.end)
			continue;
		if (zone->whole_end == 0)
			zone->frontier = (uint32_t)((part.start - zone->base) / CHUNK_SIZE);
		zone->whole_end = (uint32_t)((part.end - zone->base) / CHUNK_SIZE);
	}
	if (!zone->chunks)
		panic("no room for the %lu bytes of records of the memory at 0x%lx", size,
		      zone->base);
	return free;
}

/* Make a zone of regions [first, end), of which the outermost are memory to be used. */
static void add_zone(unsigned first, unsigned end)
{
	struct zone *zone = &zones[zone_count];

	if (zone_count == ZONES_MAX)
		panic("memory with more than %u large holes", ZONES_MAX - 1);
	zone->base = ALIGN_DOWN(bootinfo_regions[first].physical, CHUNK_SIZE);
	zone->count = (uint32_t)((region_end(end - 1) - zone->base + CHUNK_SIZE - 1) / CHUNK_SIZE);
	uint64_t free = survey(zone, first, end);
	unopened += zone->whole_end - zone->frontier;
	statistics.total += (free - (zone->records.end - zone->records.start)) >> PAGE_SHIFT;
	zone_count++;
}

static bool has_whole_chunks(void)
{
	for (unsigned i = 0; i < bootinfo.region_count; i++) {
		if (bootinfo_regions[i].type != CALYPSO_REGION_FREE)
			continue;
		struct span part = frames_whole_part(&bootinfo_regions[i]);
		if (part.start < part.end)
			return true;
	}
	return false;
}

void frames_initialize(void)
{
	unsigned first = 0, end = 0; /* regions of the zone so far */

	no_whole_chunks = !has_whole_chunks();
	for (unsigned i = 0; i < bootinfo.region_count; i++) {
		const struct calypso_region *region = &bootinfo_regions[i];

		if (region->type != CALYPSO_REGION_FREE && region->type != CALYPSO_REGION_BOOT)
			continue;
		if (end != 0 && region->physical - region_end(end - 1) >= ZONE_HOLE) {
			add_zone(first, end);
			end = 0;
		}
		if (end == 0)
			first = i;
		end = i + 1;
	}
	if (end == 0)
		panic("bootinfo names no free memory");
	add_zone(first, end);
	for (unsigned i = 0; no_whole_chunks && i < bootinfo.region_count; i++)
		if (bootinfo_regions[i].type == CALYPSO_REGION_FREE)
			frames_put_crumb(
				(struct span){bootinfo_regions[i].physical, region_end(i)});
}

/* ---- Blocks above 2 MiB: runs of chunks ---- */

/* Whether chunks [index, index + count) of a zone are wholly free. */
static bool run_is_free(struct zone *zone, uint64_t index, uint64_t count)
{
	for (uint64_t i = index; i < index + count; i++)
		if (prepare(zone, i)->blocks[CHUNK_ORDER] == 0)
			return false;
	return true;
}

static physical_t take_run(unsigned order, bool *written)
{
	uint64_t count = 1ull << (order - CHUNK_ORDER);
	uint64_t size = PAGE_SIZE << order;

	for (unsigned i = 0; i < zone_count; i++) {
		struct zone *zone = &zones[i];
		uint64_t index = (ALIGN_UP(zone->base, size) - zone->base) / CHUNK_SIZE;

		for (; index + count <= zone->count; index += count) {
			if (!run_is_free(zone, index, count))
				continue;
			*written = false;
			for (uint64_t n = index; n < index + count; n++) {
				struct chunk *chunk = &zone->chunks[n];

				chunk_mark_used(chunk, 0, CHUNK_ORDER);
				list_move(chunk, CHUNK_ORDER);
				*written |= chunk_mark_written(chunk, 0, CHUNK_ORDER);
			}
			return zone->base + index * CHUNK_SIZE;
		}
	}
	return FRAME_NONE;
}

/* ---- The interface ---- */

static physical_t take_from_chunk(unsigned order, bool *written)
{
	struct chunk *chunk = find_chunk(order);

	if (!chunk)
		return FRAME_NONE;
	int before = chunk_largest_order(chunk);
	unsigned frame = chunk_take(chunk, order);

	list_move(chunk, before);
	*written = chunk_mark_written(chunk, frame, order);
	return chunk->base + ((uint64_t)frame << PAGE_SHIFT);
}

static bool open_another(void)
{
	/* Chunks that have nothing larger any more are used up first. */
	unsigned fragments = nonempty & ((1u << OPEN_ORDER) - 1);
	unsigned order = fragments ? 31 - (unsigned)__builtin_clz(fragments) : OPEN_ORDER;
	physical_t block = take_from_chunk(order, &open_block.written);

	if (block == FRAME_NONE)
		return false;
	open_block.next = block;
	open_block.end = block + (PAGE_SIZE << order);
	return true;
}

static void close_block(void)
{
	put_span((struct span){open_block.next, open_block.end}, false);
	open_block.next = open_block.end;
}

static physical_t take_block_of(unsigned order, bool *written)
{
	return order <= CHUNK_ORDER ? take_from_chunk(order, written) : take_run(order, written);
}

static physical_t take(unsigned order, bool *written)
{
	if (likely(order == 0)) {
		if (open_block.next == open_block.end && !open_another())
			return FRAME_NONE;
		physical_t frame = open_block.next;
		open_block.next += PAGE_SIZE;
		*written = open_block.written;
		return frame;
	}
	if (order > FRAME_ORDER_MAX)
		return FRAME_NONE;
	physical_t block = take_block_of(order, written);
	if (block == FRAME_NONE && open_block.next < open_block.end) {
		close_block();
		block = take_block_of(order, written);
	}
	return block;
}

static void use_reserve(void)
{
	void (*add)(void) = add_reserve;

	add_reserve = NULL;
	reserve_is_due = false;
	if (add)
		add();
}

physical_t frame_allocate(unsigned order, unsigned flags)
{
	bool written;

	if (unlikely(reserve_is_due))
		use_reserve();
	physical_t block = take(order, &written);
	if (unlikely(block == FRAME_NONE)) {
		if (!add_reserve)
			return FRAME_NONE;
		use_reserve();
		block = take(order, &written);
		if (block == FRAME_NONE)
			return FRAME_NONE;
	}
	statistics.used += 1ull << order;
	if ((flags & FRAME_ZEROED) && (written || !bootinfo_has(CALYPSO_FEATURE_ZEROED_RAM)))
		memset(phys_to_virt(block), 0, PAGE_SIZE << order);
	return block;
}

void frame_free(physical_t block, unsigned order)
{
	frames_free_range(block, 1ull << order);
}

void frames_free_range(physical_t start, uint64_t count)
{
	statistics.used -= count;
	put_span((struct span){start, start + count * PAGE_SIZE}, false);
}

void frames_add(struct span span)
{
	statistics.total += (span.end - span.start) >> PAGE_SHIFT;
	put_span(span, true);
}

void frames_set_reserve(void (*add)(void))
{
	add_reserve = add;
	reserve_is_due = unopened == 0;
}

struct frame_statistics frame_statistics(void)
{
	return statistics;
}
