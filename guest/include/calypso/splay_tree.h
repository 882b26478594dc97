/* Splay tree (Sleator, Tarjan: Self-Adjusting Binary Search Trees, 1985), intrusive.
 *
 * Each access moves its node to the root by rotations that about halve the depth of all nodes on the
 * way. Accesses cost O(log n) each, amortised over any sequence of them; what is accessed often, or
 * near to what was accessed last, costs O(1). The price are writes where others only read, and single
 * accesses that take O(n). Choose it where accesses are local, and <calypso/rank_tree.h> elsewhere.
 *
 * The interface is that of the rank-balanced tree.
 */
#ifndef CALYPSO_SPLAY_TREE_H
#define CALYPSO_SPLAY_TREE_H

#include <calypso/types.h>

struct splay_node {
	struct splay_node *parent;
	struct splay_node *child[2]; /* smaller, greater */
};

struct splay_tree {
	struct splay_node *root;
};

/* How the key of `node` compares with `key`: negative, 0 or positive. */
typedef int splay_compare(const struct splay_node *node, uint64_t key);

/* Insert a node whose key is `key`. False where there is one already. */
bool splay_tree_add(struct splay_tree *tree, struct splay_node *node, splay_compare *compare,
		    uint64_t key);

/* Link `node` at `*link`, an empty child of `parent` (or the root with parent NULL). */
void splay_tree_insert(struct splay_tree *tree, struct splay_node *node, struct splay_node *parent,
		       struct splay_node **link);
void splay_tree_remove(struct splay_tree *tree, struct splay_node *node);

/* The node with this key; the nearest one below or above where there is none; or NULL. */
struct splay_node *splay_tree_find(struct splay_tree *tree, splay_compare *compare, uint64_t key);
struct splay_node *splay_tree_at_or_below(struct splay_tree *tree, splay_compare *compare,
					  uint64_t key);
struct splay_node *splay_tree_at_or_above(struct splay_tree *tree, splay_compare *compare,
					  uint64_t key);

/* In order; NULL at the ends and for an empty tree. */
struct splay_node *splay_tree_first(struct splay_tree *tree);
struct splay_node *splay_tree_last(struct splay_tree *tree);
struct splay_node *splay_node_next(const struct splay_node *node);
struct splay_node *splay_node_previous(const struct splay_node *node);

/* Whether the links are as they must be. For tests. */
bool splay_tree_valid(const struct splay_tree *tree);

#endif
