/* What both kinds of binary trees share: links, and moving along and around them. The nodes of either
 * kind begin with the links. */
#ifndef LIB_TREE_H
#define LIB_TREE_H

#include <calypso/types.h>

enum tree_side { SMALLER, GREATER };

struct tree_links {
	struct tree_links *parent;
	struct tree_links *child[2];
};

static inline int tree_side_of(const struct tree_links *parent, const struct tree_links *node)
{
	return parent->child[GREATER] == node;
}

/* Let the parent of `old` (or the root) point to `new` instead. */
static inline void tree_replace_child(struct tree_links **root, struct tree_links *parent,
				      struct tree_links *old, struct tree_links *new)
{
	if (parent == NULL)
		*root = new;
	else
		parent->child[tree_side_of(parent, old)] = new;
	if (new)
		new->parent = parent;
}

/* Lift `node` above its parent, keeping the order. */
void tree_rotate_up(struct tree_links **root, struct tree_links *node);

/* The last node on this side below `node`, or itself; NULL of NULL. */
struct tree_links *tree_outermost(struct tree_links *node, int side);

/* The node that follows in the order on this side, or NULL. */
struct tree_links *tree_neighbour(const struct tree_links *node, int side);

/* Whether each node is the parent of its children. */
bool tree_is_linked(const struct tree_links *root);

#endif
