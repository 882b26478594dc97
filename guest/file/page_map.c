/* The pages of a sparse file: a radix tree. */
#include <calypso/errno.h>
#include <calypso/mm.h>
#include <file/page_map.h>

#define NODE_BITS 9
#define NODE_SLOTS (1u << NODE_BITS)

struct node {
	void *slot[NODE_SLOTS]; /* nodes of the level below, at the lowest level pages */
};
static_assert(sizeof(struct node) == PAGE_SIZE, "a node is a page");

/* Indexes that a tree of this height can hold; 2^63 for the ones that hold all. */
static uint64_t reach(unsigned height)
{
	return height * NODE_BITS < 63 ? 1ull << (height * NODE_BITS) : 1ull << 63;
}

static unsigned slot_at(uint64_t index, unsigned level)
{
	return (index >> (level * NODE_BITS)) & (NODE_SLOTS - 1);
}

static void *new_node(void)
{
	physical_t frame = frame_allocate(0, FRAME_ZEROED);
	return frame == FRAME_NONE ? NULL : phys_to_virt(frame);
}

void *page_map_find(const struct page_map *map, uint64_t index)
{
	if (index >= reach(map->height))
		return NULL;
	void *at = map->root;
	for (unsigned level = map->height; level-- > 0 && at != NULL;)
		at = ((struct node *)at)->slot[slot_at(index, level)];
	return at;
}

/* Add levels until the tree reaches `index`. */
static int grow(struct page_map *map, uint64_t index)
{
	while (index >= reach(map->height)) {
		if (map->root != NULL) {
			struct node *node = new_node();
			if (node == NULL)
				return -ENOMEM;
			node->slot[0] = map->root;
			map->root = node;
		}
		map->height++;
	}
	return 0;
}

int page_map_insert(struct page_map *map, uint64_t index, void *page)
{
	int error = grow(map, index);
	if (error != 0)
		return error;
	void **at = &map->root;
	for (unsigned level = map->height; level-- > 0;) {
		if (*at == NULL && (*at = new_node()) == NULL)
			return -ENOMEM;
		at = &((struct node *)*at)->slot[slot_at(index, level)];
	}
	*at = page;
	map->count++;
	return 0;
}

/* The same below one node that covers indexes from `base` on. */
static uint64_t next_below(void *at, unsigned height, uint64_t base, uint64_t index)
{
	if (at == NULL)
		return UINT64_MAX;
	if (height == 0)
		return base >= index ? base : UINT64_MAX;
	struct node *node = at;
	uint64_t span = reach(height - 1);
	unsigned first = index <= base ? 0 : (unsigned)((index - base) / span);
	for (unsigned i = first; i < NODE_SLOTS; i++) {
		if (node->slot[i] == NULL)
			continue;
		uint64_t found = next_below(node->slot[i], height - 1, base + i * span, index);
		if (found != UINT64_MAX)
			return found;
	}
	return UINT64_MAX;
}

uint64_t page_map_next(const struct page_map *map, uint64_t index)
{
	if (map->count == 0 || index >= reach(map->height))
		return UINT64_MAX;
	return next_below(map->root, map->height, 0, index);
}

/* Free the pages of a range below `*at`, and `*at` itself when nothing is left below it. */
static void remove_below(struct page_map *map, void **at, unsigned height, uint64_t base,
			 uint64_t first, uint64_t end)
{
	if (*at == NULL || end <= base || first >= base + reach(height))
		return;
	bool empty = true;
	if (height > 0) {
		struct node *node = *at;
		uint64_t span = reach(height - 1);
		for (unsigned i = 0; i < NODE_SLOTS; i++) {
			remove_below(map, &node->slot[i], height - 1, base + i * span, first, end);
			empty = empty && node->slot[i] == NULL;
		}
	} else {
		map->count--;
	}
	if (!empty)
		return;
	frame_free(virt_to_phys(*at), 0);
	*at = NULL;
}

void page_map_remove(struct page_map *map, uint64_t first, uint64_t end)
{
	remove_below(map, &map->root, map->height, 0, first, end);
	if (map->root == NULL)
		map->height = 0;
}
