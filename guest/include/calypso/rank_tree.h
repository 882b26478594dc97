/* Weak AVL tree (Haeupler, Sen, Tarjan: Rank-Balanced Trees, 2015), intrusive.
 *
 * Every node has a rank, a missing child has rank -1, and
 *   - the rank of a parent exceeds that of each child by 1 or 2,
 *   - a leaf has rank 0.
 * So the height is at most 2 log2(n), an insertion or removal rotates at most twice, and the ranks
 * change O(1) times amortised. With insertions only it is an AVL tree.
 *
 * The tree knows no keys, only a comparison with one that its user gives. Where the call of that
 * would cost too much, a user descends by itself, like this, and then links:
 *
 *	struct rank_node **link = &tree->root, *parent = NULL;
 *	while (*link) {
 *		parent = *link;
 *		link = &parent->child[key > entry_of(parent)->key];
 *	}
 *	rank_tree_insert(tree, &entry->node, parent, link);
 */
#ifndef CALYPSO_RANK_TREE_H
#define CALYPSO_RANK_TREE_H

#include <calypso/types.h>

struct rank_node {
	struct rank_node *parent;
	struct rank_node *child[2]; /* smaller, greater */
	int rank;
};

struct rank_tree {
	struct rank_node *root;
};

/* How the key of `node` compares with `key`: negative, 0 or positive. */
typedef int rank_compare(const struct rank_node *node, uint64_t key);

/* Insert a node whose key is `key`. False, and nothing has changed, where there is one already. */
bool rank_tree_add(struct rank_tree *tree, struct rank_node *node, rank_compare *compare,
		   uint64_t key);

/* Link `node` at `*link`, an empty child of `parent` (or the root with parent NULL). */
void rank_tree_insert(struct rank_tree *tree, struct rank_node *node, struct rank_node *parent,
		      struct rank_node **link);
void rank_tree_remove(struct rank_tree *tree, struct rank_node *node);

/* The node with this key; the nearest one below or above where there is none; or NULL. */
struct rank_node *rank_tree_find(const struct rank_tree *tree, rank_compare *compare, uint64_t key);
struct rank_node *rank_tree_at_or_below(const struct rank_tree *tree, rank_compare *compare,
					uint64_t key);
struct rank_node *rank_tree_at_or_above(const struct rank_tree *tree, rank_compare *compare,
					uint64_t key);

/* In order; NULL at the ends and for an empty tree. */
struct rank_node *rank_tree_first(const struct rank_tree *tree);
struct rank_node *rank_tree_last(const struct rank_tree *tree);
struct rank_node *rank_node_next(const struct rank_node *node);
struct rank_node *rank_node_previous(const struct rank_node *node);

/* Whether links and ranks are as they must be. For tests. */
bool rank_tree_valid(const struct rank_tree *tree);

#endif
