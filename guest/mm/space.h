/* The program's address space: what its files share. */
#ifndef MM_SPACE_H
#define MM_SPACE_H

#include "mm/page_table.h"

#include <calypso/mm.h>
#include <calypso/rank_tree.h>

/* A range of pages with one meaning. Areas are disjoint; neighbours that could be one are one. */
struct area {
	struct rank_node node;
	user_t start, end;
	int protection;
	int flags; /* MAP_SHARED or MAP_PRIVATE, and what SPACE_KEPT_FLAGS has */
	struct page_source *source; /* NULL: anonymous */
	uint64_t offset;	    /* in the source, of `start` */
};

/* Of the flags of mmap, those that stay a property of the area. */
#define SPACE_KEPT_FLAGS (MAP_TYPE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE | MAP_READ_ONLY)

/* The area that covers `address`, or the next above it, or NULL. */
struct area *area_at_or_above(user_t address);

/* The area that covers `address`, or NULL. */
struct area *area_at(user_t address);

/* Whether the area's pages are changed in place, in the source. */
static inline bool area_is_shared(const struct area *area)
{
	return (area->flags & MAP_TYPE) != MAP_PRIVATE;
}

/* Whether the program has this right (one of PROT_READ, PROT_WRITE, PROT_EXEC) in the area. What can be
 * written or executed can be read, too. */
static inline bool area_allows(const struct area *area, unsigned access)
{
	if (access == PROT_READ)
		return (area->protection & (PROT_READ | PROT_WRITE | PROT_EXEC)) != 0;
	return ((unsigned)area->protection & access) != 0;
}

/* The area behind it in order, or NULL. */
static inline struct area *area_next(const struct area *area)
{
	struct rank_node *node = rank_node_next(&area->node);

	return node ? container_of(node, struct area, node) : NULL;
}

/* Rights of a page's entry: what the area allows, but no writing where that must copy first. */
static inline unsigned page_rights(const struct area *area, bool owned)
{
	unsigned rights = (unsigned)area->protection;

	/* What can be written can be read, also before it has been written. */
	if ((rights & PROT_WRITE) && area->source && !owned && !area_is_shared(area))
		rights = (rights & ~(unsigned)PROT_WRITE) | PROT_READ;
	return rights;
}

/* ---- Areas (space.c) ---- */

/* Put an area into the tree. Its source, if any, has been acquired. */
void area_insert(struct area *area);
void area_acquire_source(const struct area *area);

/* Unite an area with its neighbours where that can be. */
void area_merge_around(struct area *area);

/* Cut areas so that [start, end) holds whole ones only. 0 or -ENOMEM. */
int space_cut_range(user_t start, user_t end);

/* The range that a system call names, rounded to pages. False where it leaves the program's half or
 * is not aligned. */
bool space_check_range(user_t start, uint64_t *length);

bool space_is_free(user_t start, uint64_t length);

/* The highest free range of this length, preferably where the last one was found; 0: none. */
user_t space_find_room(uint64_t length);

/* ---- Pages (pages.c) ---- */

/* Where the kernel finds what the program has at `address`, brought in for this access: the rest of
 * the page from there on. NULL where the program has no right to it. */
void *page_content(user_t address, unsigned access);

/* Drop the pages of [start, end). */
void pages_unmap(user_t start, user_t end);

/* Let the pages of [start, end) have the rights of `area`, which covers them. */
void pages_protect(const struct area *area, user_t start, user_t end);

/* Move the pages of [from, from + length) to `to`, which is empty. 0 or -ENOMEM; then the pages
 * moved so far are at their new place. */
int pages_move(user_t from, user_t to, uint64_t length);

/* Bring in the pages of [start, end) of an area for this access, as far as there is memory. */
void pages_populate(const struct area *area, user_t start, user_t end, unsigned access);

#endif
