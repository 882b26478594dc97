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
 * The kernel is not preempted and runs on one processor: there is no lock.
 */
#include "mm/frames.h"

#include <calypso/boot.h>
#include <calypso/bootinfo.h>
#include <calypso/lib.h>
#include <calypso/log.h>

#define CHUNK_ORDER 9
#define CHUNK_FRAMES (1u << CHUNK_ORDER)
#define CHUNK_SIZE (PAGE_SIZE << CHUNK_ORDER)
#define ORDERS (CHUNK_ORDER + 1)
#define ZONES_MAX 8

/* A hole of this size starts another zone: below, the records of its chunks are unused memory. */
#define ZONE_HOLE (1ull << 30)

struct chunk {
	/* Bit `1024 - (1024 >> order) + (frame >> order)`: that block is free. */
	uint64_t free[16];
	struct chunk *next, *previous; /* in the list of its largest free order */
	physical_t base;
	uint16_t blocks[ORDERS]; /* free ones of each order */
	uint16_t orders;	 /* bit o: blocks[o] is not 0 */
	uint64_t written[CHUNK_FRAMES / 64]; /* bit f: frame f may have been written to */
};

struct zone {
	struct chunk *chunks;
	physical_t base;     /* of the first chunk */
	uint32_t count;	     /* of chunks */
	uint32_t frontier;   /* chunks from here on have no record yet */
	physical_t reserved; /* the records: at the start of a FREE region */
	physical_t reserved_end;
};

static struct zone zones[ZONES_MAX];
static unsigned zone_count;
static struct chunk *lists[ORDERS];
static unsigned nonempty; /* bit o: lists[o] is not empty */
static struct frame_statistics statistics;

/* ---- Blocks of one chunk ---- */

static unsigned block_bit(unsigned frame, unsigned order)
{
	return 1024 - (1024 >> order) + (frame >> order);
}

static bool block_is_free(const struct chunk *chunk, unsigned frame, unsigned order)
{
	unsigned bit = block_bit(frame, order);

	return (chunk->free[bit / 64] >> bit % 64 & 1) != 0;
}

static void mark_free(struct chunk *chunk, unsigned frame, unsigned order)
{
	unsigned bit = block_bit(frame, order);

	chunk->free[bit / 64] |= 1ull << bit % 64;
	chunk->blocks[order]++;
	chunk->orders |= (uint16_t)(1u << order);
}

static void mark_used(struct chunk *chunk, unsigned frame, unsigned order)
{
	unsigned bit = block_bit(frame, order);

	chunk->free[bit / 64] &= ~(1ull << bit % 64);
	if (--chunk->blocks[order] == 0)
		chunk->orders &= (uint16_t) ~(1u << order);
}

/* The lowest free block of an order that has one. */
static unsigned first_free(const struct chunk *chunk, unsigned order)
{
	unsigned first = block_bit(0, order);
	unsigned word = first / 64;
	uint64_t bits = chunk->free[word] >> first % 64 << first % 64;

	while (bits == 0)
		bits = chunk->free[++word];
	return (word * 64 + (unsigned)__builtin_ctzll(bits) - first) << order;
}

/* Take a block out of a chunk whose largest free block is sufficient. */
static unsigned take_block(struct chunk *chunk, unsigned order)
{
	unsigned from = order + (unsigned)__builtin_ctz((unsigned)chunk->orders >> order);
	unsigned frame = first_free(chunk, from);

	mark_used(chunk, frame, from);
	while (from > order) {
		from--;
		mark_free(chunk, frame + (1u << from), from);
	}
	return frame;
}

/* Free a block and unite it with its buddy as long as that is free too. */
static void put_block(struct chunk *chunk, unsigned frame, unsigned order)
{
	assert_that(!block_is_free(chunk, frame, order));
	for (; order < CHUNK_ORDER; order++) {
		unsigned buddy = frame ^ (1u << order);

		if (!block_is_free(chunk, buddy, order))
			break;
		mark_used(chunk, buddy, order);
		frame &= ~(1u << order);
	}
	mark_free(chunk, frame, order);
}

/* The order of the largest aligned block that starts at `frame` and has at most `count` frames. */
static unsigned fitting_order(unsigned frame, uint64_t count)
{
	unsigned order = CHUNK_ORDER;

	if (frame != 0)
		order = (unsigned)__builtin_ctz(frame);
	if (count < 1u << order)
		order = 63 - (unsigned)__builtin_clzll(count);
	return order;
}

static void put_range(struct chunk *chunk, unsigned frame, unsigned end)
{
	while (frame < end) {
		unsigned order = fitting_order(frame, end - frame);

		put_block(chunk, frame, order);
		frame += 1u << order;
	}
}

/* Note that frames are going to be written to; whether one of them may have been already. */
static bool mark_written(struct chunk *chunk, unsigned frame, unsigned order)
{
	uint64_t before = 0;

	if (order < 6) {
		uint64_t bits = ((1ull << (1u << order)) - 1) << frame % 64;

		before = chunk->written[frame / 64] & bits;
		chunk->written[frame / 64] |= bits;
		return before != 0;
	}
	for (unsigned word = frame / 64; word < (frame + (1u << order)) / 64; word++) {
		before |= chunk->written[word];
		chunk->written[word] = UINT64_MAX;
	}
	return before != 0;
}

/* ---- Lists of chunks ---- */

static int largest_order(const struct chunk *chunk)
{
	return chunk->orders == 0 ? -1 : 31 - __builtin_clz(chunk->orders);
}

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
	int now = largest_order(chunk);

	if (now == before)
		return;
	if (before >= 0)
		list_remove(chunk, before);
	if (now >= 0)
		list_add(chunk, now);
}

/* ---- Zones and their frontier ---- */

/* Put the part of a FREE region that lies in the chunk. */
static void put_region(const struct zone *zone, struct chunk *chunk,
		       const struct calypso_region *region)
{
	physical_t start = region->physical, end = start + region->length;

	if (start == zone->reserved)
		start = zone->reserved_end;
	if (start < chunk->base)
		start = chunk->base;
	if (end > chunk->base + CHUNK_SIZE)
		end = chunk->base + CHUNK_SIZE;
	if (start < end)
		put_range(chunk, (unsigned)((start - chunk->base) >> PAGE_SHIFT),
			  (unsigned)((end - chunk->base) >> PAGE_SHIFT));
}

/* Write the record of the chunk at the frontier. */
static struct chunk *advance_frontier(struct zone *zone)
{
	struct chunk *chunk = &zone->chunks[zone->frontier];

	if (!bootinfo_has(CALYPSO_FEATURE_ZEROED_RAM))
		memset(chunk, 0, sizeof(*chunk));
	chunk->base = zone->base + zone->frontier * CHUNK_SIZE;
	zone->frontier++;
	for (unsigned i = 0; i < bootinfo.region_count; i++)
		if (bootinfo_regions[i].type == CALYPSO_REGION_FREE)
			put_region(zone, chunk, &bootinfo_regions[i]);
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
	uint64_t index = (address - zone->base) / CHUNK_SIZE;

	while (zone->frontier <= index)
		advance_frontier(zone);
	return &zone->chunks[index];
}

/* A chunk with a free block of at least this order. */
static struct chunk *find_chunk(unsigned order)
{
	unsigned candidates = nonempty >> order;

	if (candidates != 0)
		return lists[order + (unsigned)__builtin_ctz(candidates)];
	for (unsigned i = 0; i < zone_count; i++)
		while (zones[i].frontier < zones[i].count) {
			struct chunk *chunk = advance_frontier(&zones[i]);

			if (chunk->orders >> order != 0)
				return chunk;
		}
	return NULL;
}

/* Place the records of a zone's chunks at the start of the first region with room. */
static void place_records(struct zone *zone, unsigned first, unsigned end)
{
	uint64_t size = ALIGN_UP(zone->count * sizeof(struct chunk), PAGE_SIZE);

	for (unsigned i = first; i < end; i++) {
		const struct calypso_region *region = &bootinfo_regions[i];

		if (region->type != CALYPSO_REGION_FREE || region->length < size)
			continue;
		zone->chunks = phys_to_virt(region->physical);
		zone->reserved = region->physical;
		zone->reserved_end = region->physical + size;
		statistics.total -= size >> PAGE_SHIFT;
		return;
	}
	panic("no room for the %lu bytes of records of the memory at 0x%lx", size, zone->base);
}

/* Make a zone of regions [first, end), which end at address `top`. */
static void add_zone(unsigned first, unsigned end, physical_t top, uint64_t free)
{
	struct zone *zone = &zones[zone_count];

	if (free == 0)
		return;
	if (zone_count == ZONES_MAX)
		panic("memory with more than %u large holes", ZONES_MAX - 1);
	zone->base = ALIGN_DOWN(bootinfo_regions[first].physical, CHUNK_SIZE);
	zone->count = (uint32_t)((top - zone->base + CHUNK_SIZE - 1) / CHUNK_SIZE);
	statistics.total += free >> PAGE_SHIFT;
	place_records(zone, first, end);
	zone_count++;
}

void frames_initialize(void)
{
	unsigned first = 0;
	physical_t top = bootinfo_regions[0].physical;
	uint64_t free = 0;

	for (unsigned i = 0; i < bootinfo.region_count; i++) {
		const struct calypso_region *region = &bootinfo_regions[i];

		if (region->type == CALYPSO_REGION_DEVICE && free == 0) {
			first = i + 1;
			continue;
		}
		if (region->type == CALYPSO_REGION_DEVICE)
			continue;
		if (free != 0 && region->physical - top >= ZONE_HOLE) {
			add_zone(first, i, top, free);
			first = i;
			free = 0;
		}
		if (region->type == CALYPSO_REGION_FREE)
			free += region->length;
		top = region->physical + region->length;
	}
	add_zone(first, bootinfo.region_count, top, free);
}

/* ---- Blocks above 2 MiB: runs of chunks ---- */

/* Whether chunks [index, index + count) of a zone are wholly free. */
static bool run_is_free(struct zone *zone, uint64_t index, uint64_t count)
{
	for (uint64_t i = index; i < index + count; i++) {
		while (zone->frontier <= i)
			advance_frontier(zone);
		if (zone->chunks[i].blocks[CHUNK_ORDER] == 0)
			return false;
	}
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

				mark_used(chunk, 0, CHUNK_ORDER);
				list_move(chunk, CHUNK_ORDER);
				*written |= mark_written(chunk, 0, CHUNK_ORDER);
			}
			return zone->base + index * CHUNK_SIZE;
		}
	}
	return FRAME_NONE;
}

/* ---- The interface ---- */

static physical_t take(unsigned order, bool *written)
{
	struct chunk *chunk = find_chunk(order);

	if (!chunk)
		return FRAME_NONE;
	int before = largest_order(chunk);
	unsigned frame = take_block(chunk, order);

	list_move(chunk, before);
	*written = mark_written(chunk, frame, order);
	return chunk->base + ((uint64_t)frame << PAGE_SHIFT);
}

physical_t frame_allocate(unsigned order, unsigned flags)
{
	bool written;
	physical_t block = order <= CHUNK_ORDER	      ? take(order, &written)
			   : order <= FRAME_ORDER_MAX ? take_run(order, &written)
						      : FRAME_NONE;

	if (block == FRAME_NONE)
		return FRAME_NONE;
	statistics.used += 1ull << order;
	if ((flags & FRAME_ZEROED) && (written || !bootinfo_has(CALYPSO_FEATURE_ZEROED_RAM)))
		memset(phys_to_virt(block), 0, PAGE_SIZE << order);
	return block;
}

static void put(physical_t block, unsigned order)
{
	struct chunk *chunk = chunk_of(block);
	int before = largest_order(chunk);

	put_block(chunk, (unsigned)((block - chunk->base) >> PAGE_SHIFT), order);
	list_move(chunk, before);
}

void frame_free(physical_t block, unsigned order)
{
	statistics.used -= 1ull << order;
	if (order <= CHUNK_ORDER) {
		put(block, order);
		return;
	}
	for (uint64_t offset = 0; offset < PAGE_SIZE << order; offset += CHUNK_SIZE)
		put(block + offset, CHUNK_ORDER);
}

void frames_free_range(physical_t start, uint64_t count)
{
	while (count > 0) {
		unsigned frame = (unsigned)(start >> PAGE_SHIFT) % CHUNK_FRAMES;
		unsigned order = fitting_order(frame, count);

		frame_free(start, order);
		start += PAGE_SIZE << order;
		count -= 1ull << order;
	}
}

void frames_add(physical_t start, uint64_t count)
{
	statistics.total += count;
	statistics.used += count;
	for (uint64_t i = 0; i < count; i++) {
		struct chunk *chunk = chunk_of(start + i * PAGE_SIZE);

		mark_written(chunk, (unsigned)(start / PAGE_SIZE + i) % CHUNK_FRAMES, 0);
	}
	frames_free_range(start, count);
}

struct frame_statistics frame_statistics(void)
{
	return statistics;
}
