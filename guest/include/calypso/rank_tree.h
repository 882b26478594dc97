/* Weak AVL tree (Haeupler, Sen, Tarjan: Rank-Balanced Trees, 2015), intrusive.
 *
 * Every node has a rank, a missing child has rank -1, and
 *   - the rank of a parent exceeds that of each child by 1 or 2,
 *   - a leaf has rank 0.
 * So the height is at most 2 log2(n), an insertion or removal rotates at most twice, and the ranks
 * change O(1) times amortised. With insertions only it is an AVL tree.
 *
 * The tree knows no keys: a user descends by its own comparison, like this, and then inserts:
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

/* Link `node` at `*link`, an empty child of `parent` (or the root with parent NULL). */
void rank_tree_insert(struct rank_tree *tree, struct rank_node *node, struct rank_node *parent,
		      struct rank_node **link);
void rank_tree_remove(struct rank_tree *tree, struct rank_node *node);

/* In order; NULL at the ends and for an empty tree. */
struct rank_node *rank_tree_first(const struct rank_tree *tree);
struct rank_node *rank_tree_last(const struct rank_tree *tree);
struct rank_node *rank_node_next(const struct rank_node *node);
struct rank_node *rank_node_previous(const struct rank_node *node);

/* Whether links and ranks are as they must be. For tests. */
bool rank_tree_valid(const struct rank_tree *tree);

#endif
