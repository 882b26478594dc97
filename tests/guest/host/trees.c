/* Handles for the tests of both kinds of trees: sets of numbers. */
#include <calypso/rank_tree.h>
#include <calypso/splay_tree.h>

#include "sanitizer.h"

/* The functions `kind_...` of the one tree that there is of a kind. */
#define TREE(kind)                                                                               \
	struct kind##_entry {                                                                    \
		uint64_t before;                                                                 \
		struct kind##_node node;                                                         \
		uint64_t key;                                                                    \
	};                                                                                       \
                                                                                                 \
	static struct kind##_tree kind##_numbers;                                                \
                                                                                                 \
	static uint64_t kind##_key(const struct kind##_node *node)                               \
	{                                                                                        \
		return container_of(node, const struct kind##_entry, node)->key;                 \
	}                                                                                        \
                                                                                                 \
	static int kind##_order(const struct kind##_node *node, uint64_t key)                    \
	{                                                                                        \
		return kind##_key(node) < key ? -1 : kind##_key(node) > key;                     \
	}                                                                                        \
                                                                                                 \
	static uint64_t kind##_number(const struct kind##_node *node)                            \
	{                                                                                        \
		return node ? kind##_key(node) : UINT64_MAX;                                     \
	}                                                                                        \
                                                                                                 \
	bool kind##_add(uint64_t key);                                                           \
	bool kind##_add(uint64_t key)                                                            \
	{                                                                                        \
		struct kind##_entry *entry = sanitizer_make_node(sizeof(*entry));                \
		entry->key = key;                                                                \
		if (kind##_tree_add(&kind##_numbers, &entry->node, kind##_order, key))           \
			return true;                                                             \
		sanitizer_free_node(entry, sizeof(*entry));                                      \
		return false;                                                                    \
	}                                                                                        \
                                                                                                 \
	bool kind##_remove(uint64_t key);                                                        \
	bool kind##_remove(uint64_t key)                                                         \
	{                                                                                        \
		struct kind##_node *node = kind##_tree_find(&kind##_numbers, kind##_order, key); \
		if (!node)                                                                       \
			return false;                                                            \
		kind##_tree_remove(&kind##_numbers, node);                                       \
		sanitizer_free_node(container_of(node, struct kind##_entry, node),               \
				    sizeof(struct kind##_entry));                                \
		return true;                                                                     \
	}                                                                                        \
                                                                                                 \
	uint64_t kind##_find(uint64_t key);                                                      \
	uint64_t kind##_find(uint64_t key)                                                       \
	{                                                                                        \
		return kind##_number(kind##_tree_find(&kind##_numbers, kind##_order, key));      \
	}                                                                                        \
                                                                                                 \
	uint64_t kind##_nearest(uint64_t key, bool above);                                       \
	uint64_t kind##_nearest(uint64_t key, bool above)                                        \
	{                                                                                        \
		return kind##_number(                                                            \
			above ? kind##_tree_at_or_above(&kind##_numbers, kind##_order, key)      \
			      : kind##_tree_at_or_below(&kind##_numbers, kind##_order, key));    \
	}                                                                                        \
                                                                                                 \
	bool kind##_valid(void);                                                                 \
	bool kind##_valid(void) { return kind##_tree_valid(&kind##_numbers); }                   \
                                                                                                 \
	/* All keys, ascending or descending; how many. */                                       \
	size_t kind##_keys(uint64_t *keys, bool descending);                                     \
	size_t kind##_keys(uint64_t *keys, bool descending)                                      \
	{                                                                                        \
		size_t count = 0;                                                                \
		struct kind##_node *node = descending ? kind##_tree_last(&kind##_numbers)        \
						      : kind##_tree_first(&kind##_numbers);      \
		for (; node; node = descending ? kind##_node_previous(node)                      \
					       : kind##_node_next(node))                         \
			keys[count++] = kind##_key(node);                                        \
		return count;                                                                    \
	}                                                                                        \
                                                                                                 \
	static unsigned kind##_depth_below(const struct kind##_node *node)                       \
	{                                                                                        \
		if (!node)                                                                       \
			return 0;                                                                \
		unsigned left = kind##_depth_below(node->child[0]);                              \
		unsigned right = kind##_depth_below(node->child[1]);                             \
		return 1 + (left > right ? left : right);                                        \
	}                                                                                        \
                                                                                                 \
	unsigned kind##_height(void);                                                            \
	unsigned kind##_height(void) { return kind##_depth_below(kind##_numbers.root); }         \
                                                                                                 \
	/* How far from the root a key is. */                                                    \
	unsigned kind##_depth(uint64_t key);                                                     \
	unsigned kind##_depth(uint64_t key)                                                      \
	{                                                                                        \
		unsigned depth = 0;                                                              \
		const struct kind##_node *node = kind##_numbers.root;                            \
		for (; node && kind##_key(node) != key; depth++)                                 \
			node = node->child[kind##_key(node) < key];                              \
		return depth;                                                                    \
	}

TREE(rank)
TREE(splay)
