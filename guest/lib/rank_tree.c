/* Weak AVL tree. The names of the cases are those of the paper (see <calypso/rank_tree.h>): an
 * i-child is one whose rank is i below its parent's, an i,j-node has an i-child and a j-child. */
#include <calypso/rank_tree.h>

#include "lib/tree.h"

static_assert(offsetof(struct rank_node, parent) == offsetof(struct tree_links, parent) &&
		      offsetof(struct rank_node, child) == offsetof(struct tree_links, child),
	      "nodes begin with the links");

static struct tree_links *links_of(const struct rank_node *node)
{
	return (struct tree_links *)(uintptr_t)node;
}

static struct rank_node *node_of(struct tree_links *links)
{
	return (struct rank_node *)links;
}

static int rank_of(const struct rank_node *node)
{
	return node ? node->rank : -1;
}

static int side_of(const struct rank_node *parent, const struct rank_node *node)
{
	return tree_side_of(links_of(parent), links_of(node));
}

/* Ranks are the caller's business. */
static void rotate_up(struct rank_tree *tree, struct rank_node *node)
{
	tree_rotate_up((struct tree_links **)&tree->root, links_of(node));
}

static void replace_child(struct rank_tree *tree, struct rank_node *parent, struct rank_node *old,
			  struct rank_node *new)
{
	tree_replace_child((struct tree_links **)&tree->root, links_of(parent), links_of(old),
			   links_of(new));
}

/* `node` is a 0-child and its sibling a 2-child (or it would have been promoted): rotate once or
 * twice, which ends the rebalancing. */
static void insert_rotate(struct rank_tree *tree, struct rank_node *node)
{
	struct rank_node *parent = node->parent;
	struct rank_node *inner = node->child[!side_of(parent, node)];

	if (node->rank - rank_of(inner) == 2) {
		rotate_up(tree, node);
		parent->rank--;
		return;
	}
	rotate_up(tree, inner);
	rotate_up(tree, inner);
	inner->rank++;
	node->rank--;
	parent->rank--;
}

void rank_tree_insert(struct rank_tree *tree, struct rank_node *node, struct rank_node *parent,
		      struct rank_node **link)
{
	*node = (struct rank_node){.parent = parent};
	*link = node;
	while (parent && parent->rank == node->rank) {
		struct rank_node *sibling = parent->child[!side_of(parent, node)];

		if (parent->rank - rank_of(sibling) == 2) {
			insert_rotate(tree, node);
			return;
		}
		parent->rank++;
		node = parent;
		parent = node->parent;
	}
}

bool rank_tree_add(struct rank_tree *tree, struct rank_node *node, rank_compare *compare,
		   uint64_t key)
{
	struct rank_node **link = &tree->root, *parent = NULL;

	while (*link) {
		int order = compare(*link, key);

		if (order == 0)
			return false;
		parent = *link;
		link = &parent->child[order < 0];
	}
	rank_tree_insert(tree, node, parent, link);
	return true;
}

/* The child of `parent` on `side` is a 3-child, its sibling a 1-child that is no 2,2-node. */
static void remove_rotate(struct rank_tree *tree, struct rank_node *parent, int side)
{
	struct rank_node *sibling = parent->child[!side];
	struct rank_node *outer = sibling->child[!side];
	struct rank_node *inner = sibling->child[side];

	if (sibling->rank - rank_of(outer) == 1) {
		rotate_up(tree, sibling);
		sibling->rank++;
		parent->rank--;
		/* A leaf has rank 0. */
		if (!parent->child[SMALLER] && !parent->child[GREATER])
			parent->rank--;
		return;
	}
	rotate_up(tree, inner);
	rotate_up(tree, inner);
	inner->rank += 2;
	sibling->rank--;
	parent->rank -= 2;
}

/* The subtree on `side` of `parent` has lost one rank. */
static void remove_rebalance(struct rank_tree *tree, struct rank_node *parent, int side)
{
	/* A leaf that is a 2,2-node has rank 1: make it 0, which may make it a 3-child. */
	if (!parent->child[SMALLER] && !parent->child[GREATER]) {
		parent->rank = 0;
		if (parent->parent == NULL)
			return;
		side = side_of(parent->parent, parent);
		parent = parent->parent;
	}
	while (parent->rank - rank_of(parent->child[side]) == 3) {
		struct rank_node *sibling = parent->child[!side];

		if (parent->rank - sibling->rank == 1) {
			if (sibling->rank - rank_of(sibling->child[SMALLER]) == 1 ||
			    sibling->rank - rank_of(sibling->child[GREATER]) == 1) {
				remove_rotate(tree, parent, side);
				return;
			}
			sibling->rank--;
		}
		parent->rank--;
		if (parent->parent == NULL)
			return;
		side = side_of(parent->parent, parent);
		parent = parent->parent;
	}
}

/* Put `next`, which has no smaller child, in the place, links and rank of `node`. */
static void take_place(struct rank_tree *tree, struct rank_node *node, struct rank_node *next)
{
	replace_child(tree, node->parent, node, next);
	next->rank = node->rank;
	for (int side = SMALLER; side <= GREATER; side++) {
		next->child[side] = node->child[side];
		if (next->child[side])
			next->child[side]->parent = next;
	}
}

void rank_tree_remove(struct rank_tree *tree, struct rank_node *node)
{
	struct rank_node *gone = node; /* whose place in the shape of the tree goes away */

	if (node->child[SMALLER] && node->child[GREATER])
		gone = rank_node_next(node);

	struct rank_node *child = gone->child[gone->child[SMALLER] == NULL];
	struct rank_node *parent = gone->parent;
	int side = parent ? side_of(parent, gone) : SMALLER;

	replace_child(tree, parent, gone, child);
	if (gone != node) {
		take_place(tree, node, gone);
		if (parent == node)
			parent = gone;
	}
	if (parent)
		remove_rebalance(tree, parent, side);
}

/* The last node that is on `side` of the key, or has it. */
static struct rank_node *nearest(const struct rank_tree *tree, rank_compare *compare, uint64_t key,
				 int side)
{
	struct rank_node *node = tree->root, *best = NULL;

	while (node) {
		int order = compare(node, key);

		if (order == 0)
			return node;
		if ((order > 0) == side)
			best = node;
		node = node->child[order < 0];
	}
	return best;
}

struct rank_node *rank_tree_at_or_below(const struct rank_tree *tree, rank_compare *compare,
					uint64_t key)
{
	return nearest(tree, compare, key, SMALLER);
}

struct rank_node *rank_tree_at_or_above(const struct rank_tree *tree, rank_compare *compare,
					uint64_t key)
{
	return nearest(tree, compare, key, GREATER);
}

struct rank_node *rank_tree_find(const struct rank_tree *tree, rank_compare *compare, uint64_t key)
{
	struct rank_node *node = nearest(tree, compare, key, SMALLER);

	return node && compare(node, key) == 0 ? node : NULL;
}

struct rank_node *rank_tree_first(const struct rank_tree *tree)
{
	return node_of(tree_outermost(links_of(tree->root), SMALLER));
}

struct rank_node *rank_tree_last(const struct rank_tree *tree)
{
	return node_of(tree_outermost(links_of(tree->root), GREATER));
}

struct rank_node *rank_node_next(const struct rank_node *node)
{
	return node_of(tree_neighbour(links_of(node), GREATER));
}

struct rank_node *rank_node_previous(const struct rank_node *node)
{
	return node_of(tree_neighbour(links_of(node), SMALLER));
}

static bool node_valid(const struct rank_node *node)
{
	if (!node->child[SMALLER] && !node->child[GREATER])
		return node->rank == 0;
	for (int side = SMALLER; side <= GREATER; side++) {
		const struct rank_node *child = node->child[side];
		int difference = node->rank - rank_of(child);

		if (difference < 1 || difference > 2)
			return false;
	}
	return true;
}

bool rank_tree_valid(const struct rank_tree *tree)
{
	if (!tree_is_linked(links_of(tree->root)))
		return false;
	for (struct rank_node *node = rank_tree_first(tree); node; node = rank_node_next(node))
		if (!node_valid(node))
			return false;
	return true;
}
