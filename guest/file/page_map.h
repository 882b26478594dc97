/* The pages of a sparse file, by index: a radix tree whose nodes are pages themselves and which is
 * only as high as the largest index needs. A file of one page has no node at all.
 */
#ifndef FILE_PAGE_MAP_H
#define FILE_PAGE_MAP_H

#include <calypso/types.h>

struct page_map {
	void *root;	 /* the page (height 0), a node, or NULL */
	unsigned height; /* levels of nodes */
	uint64_t count;	 /* pages held */
};

/* The page at this index, or NULL. */
void *page_map_find(const struct page_map *map, uint64_t index);

/* Put a page where there is none. 0 or -ENOMEM. The map owns it then. */
int page_map_insert(struct page_map *map, uint64_t index, void *page);

/* The smallest index from `index` on that holds a page, or UINT64_MAX. */
uint64_t page_map_next(const struct page_map *map, uint64_t index);

/* Free the pages with `first` <= index < `end`. */
void page_map_remove(struct page_map *map, uint64_t first, uint64_t end);

#endif
