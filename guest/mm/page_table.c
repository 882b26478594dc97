/* Page tables: what both halves of the address space share. */
#include "mm/page_table.h"

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

/* The table behind an entry above level 0, made where there is none. NULL: no memory. */
static pte_t *descend(pte_t *entry, unsigned level, bool create, bool user)
{
	if (pte_is_table(*entry, level))
		return table_at(pte_address(*entry));
	if (!create)
		return NULL;
	physical_t table = frame_allocate(0, FRAME_ZEROED);
	if (table == FRAME_NONE)
		return NULL;
	*entry = pte_table(table, user);
	return table_at(table);
}

/* What is left to be mapped. */
struct request {
	uint64_t virtual;
	uint64_t end;
	physical_t physical;
	unsigned rights;
	bool device;
};

static bool block_fits(const struct request *request, unsigned level)
{
	uint64_t size = 1ull << level_shift(level);

	if (level == 0)
		return true;
	return ((request->virtual | request->physical) & (size - 1)) == 0 &&
	       request->end - request->virtual >= size && arch_has_block(level);
}

/* Write as many entries as the request and the table allow. */
static void fill(pte_t *table, unsigned level, struct request *request)
{
	uint64_t size = 1ull << level_shift(level);
	unsigned index = entry_index(request->virtual, level);
	uint64_t count = (request->end - request->virtual) >> level_shift(level);
	pte_t entry = pte_kernel(request->physical, request->rights, request->device, level);

	if (count > ENTRIES - index)
		count = ENTRIES - index;
	request->virtual += count * size;
	request->physical += count * size;
#pragma clang loop unroll_count(8)
	for (pte_t *slot = &table[index]; slot < &table[index + count]; slot++) {
		*slot = entry;
		entry += size;
	}
}

static bool map_level(pte_t *table, unsigned level, struct request *request)
{
	do {
		if (block_fits(request, level)) {
			fill(table, level, request);
		} else {
			pte_t *entry = &table[entry_index(request->virtual, level)];
			pte_t *next = descend(entry, level, true, false);

			if (!next || !map_level(next, level - 1, request))
				return false;
		}
	} while (request->virtual < request->end && entry_index(request->virtual, level) != 0);
	return true;
}

bool page_table_map(physical_t root, uint64_t virtual, physical_t physical, uint64_t length,
		    unsigned rights, bool device)
{
	struct request request = {virtual, virtual + length, physical, rights, device};

	return map_level(table_at(root), PAGE_TABLE_ROOT, &request);
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
	pte_t *table = table_at(page_roots.user);

	for (unsigned level = PAGE_TABLE_ROOT; level > 0; level--) {
		table = descend(&table[entry_index(address, level)], level, create, true);
		if (!table)
			return NULL;
	}
	return &table[entry_index(address, 0)];
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
	if (prune.freed)
		arch_flush_all();
}
