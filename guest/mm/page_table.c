/* Page tables: what both halves of the address space share. */
#include "mm/page_table.h"

#include <calypso/boot.h>
#include <calypso/lib.h>

#define INDEX_BITS 9
#define ENTRIES (1u << INDEX_BITS)

struct page_roots page_roots;

static unsigned level_shift(unsigned level)
{
	return PAGE_SHIFT + INDEX_BITS * level;
}

static unsigned entry_index(uint64_t address, unsigned level)
{
	return (unsigned)(address >> level_shift(level)) % ENTRIES;
}

static pte_t *table_at(physical_t table)
{
	return phys_to_virt(table);
}

/* Let an entry above level 0 refer to a new table. False: no memory. */
static bool add_table(pte_t *entry, bool user)
{
	physical_t table = frame_allocate(0, FRAME_ZEROED);

	if (table == FRAME_NONE)
		return false;
	*entry = pte_table(table, user);
	return true;
}

/* The entry of this level for `address`, where `create` with the tables on the way made. NULL: there are
 * none, or there is no memory. */
static __attribute__((noinline)) pte_t *entry_for(physical_t root, uint64_t address, unsigned level,
						   bool create, bool user)
{
	const unsigned unused_bits = 64 - level_shift(PAGE_TABLE_ROOT + 1);
	const unsigned index_shift = 64 - INDEX_BITS;
	uint64_t rest = address << unused_bits; /* the next index, and those below it */
	pte_t *entry = &table_at(root)[rest >> index_shift];

	for (unsigned above = PAGE_TABLE_ROOT; above > level; above--) {
		if (!pte_is_table(*entry, above) && (!create || !add_table(entry, user)))
			return NULL;
		rest <<= INDEX_BITS;
		entry = &table_at(pte_address(*entry))[rest >> index_shift];
	}
	return entry;
}

static __attribute__((noinline)) void fill(pte_t *entry, uint64_t count, pte_t content, uint64_t step)
{
#pragma clang loop unroll_count(8)
	for (; count != 0; count--) {
		*entry++ = content;
		content += step;
	}
}

/* The level of the largest page that fits at the start of a range. */
static unsigned largest_level(uint64_t virtual, physical_t physical, uint64_t length)
{
	unsigned level = 0;

	while (level < PAGE_TABLE_ROOT - 1) {
		uint64_t size = 1ull << level_shift(level + 1);

		if (((virtual | physical) & (size - 1)) != 0 || length < size ||
		    !arch_has_block(level + 1))
			break;
		level++;
	}
	return level;
}

/* Map what one table at `level` can of a range. Returns how much that was; 0: no memory. */
static uint64_t map_blocks(physical_t root, uint64_t virtual, uint64_t length, unsigned level,
			   pte_t content)
{
	uint64_t count = length >> level_shift(level);
	uint64_t room = ENTRIES - entry_index(virtual, level);
	pte_t *entry = entry_for(root, virtual, level, true, false);

	if (!entry)
		return 0;
	if (count > room)
		count = room;
	fill(entry, count, content, 1ull << level_shift(level));
	return count << level_shift(level);
}

/* The same for pages. Ranges come in ascending order at boot: most are in the table of the one
 * before. */
static uint64_t map_pages(physical_t root, uint64_t virtual, uint64_t length, pte_t content)
{
	static struct {
		uint64_t base;
		pte_t *table;
	} last;
	uint64_t offset = virtual % TABLE_SPAN;

	if (last.table == NULL || last.base != virtual - offset) {
		last.base = virtual - offset;
		last.table = entry_for(root, last.base, 0, true, false);
		if (!last.table)
			return 0;
	}
	if (length > TABLE_SPAN - offset)
		length = TABLE_SPAN - offset;
	fill(&last.table[offset >> PAGE_SHIFT], length >> PAGE_SHIFT, content, PAGE_SIZE);
	return length;
}

bool page_table_map(physical_t root, uint64_t virtual, physical_t physical, uint64_t length,
		    unsigned rights, bool device)
{
	while (length != 0) {
		unsigned level = largest_level(virtual, physical, length);
		pte_t content = pte_kernel(physical, rights, device, level);
		uint64_t mapped = level == 0 ? map_pages(root, virtual, length, content)
					     : map_blocks(root, virtual, length, level, content);

		if (mapped == 0)
			return false;
		virtual += mapped;
		physical += mapped;
		length -= mapped;
	}
	return true;
}

physical_t page_table_unmap(physical_t root, uint64_t virtual)
{
	pte_t *entry = entry_for(root, virtual, 0, false, false);
	physical_t frame = pte_address(*entry);

	*entry = 0;
	arch_flush_page(virtual);
	return frame;
}

bool page_table_is_mapped(physical_t root, uint64_t virtual)
{
	pte_t *table = table_at(root);

	for (unsigned level = PAGE_TABLE_ROOT;; level--) {
		pte_t entry = table[entry_index(virtual, level)];

		if (!pte_is_table(entry, level))
			return pte_is_present(entry);
		table = table_at(pte_address(entry));
	}
}

pte_t *user_entry(user_t address, bool create)
{
	return entry_for(page_roots.user, address, 0, create, true);
}

/* What `user_tables_prune` works on. */
struct prune {
	user_t start, end;
	user_t floor, ceiling;
	bool freed;
};

/* Free tables below `table`, which translates the addresses from `base` on. */
static void prune_level(pte_t *table, unsigned level, uint64_t base, struct prune *prune)
{
	uint64_t size = 1ull << level_shift(level);
	uint64_t at = prune->start > base ? ALIGN_DOWN(prune->start, size) : base;
	uint64_t end = base + size * ENTRIES;

	for (; at < end && at < prune->end; at += size) {
		pte_t *entry = &table[entry_index(at, level)];

		if (!pte_is_table(*entry, level))
			continue;
		physical_t next = pte_address(*entry);
		if (level > 1)
			prune_level(table_at(next), level - 1, at, prune);
		if (at >= prune->floor && at + size <= prune->ceiling) {
			*entry = 0;
			frame_free(next, 0);
			prune->freed = true;
		}
	}
}

void user_tables_prune(user_t start, user_t end, user_t floor, user_t ceiling)
{
	struct prune prune = {start, end, floor, ceiling, false};

	prune_level(table_at(page_roots.user), PAGE_TABLE_ROOT, 0, &prune);
	if (prune.freed && paging_is_active())
		arch_flush_all();
}
