#include "lib/tree.h"

void tree_rotate_up(struct tree_links **root, struct tree_links *node)
{
	struct tree_links *parent = node->parent;
	int side = tree_side_of(parent, node);
	struct tree_links *inner = node->child[!side];

	tree_replace_child(root, parent->parent, parent, node);
	node->child[!side] = parent;
	parent->parent = node;
	parent->child[side] = inner;
	if (inner)
		inner->parent = parent;
}

struct tree_links *tree_outermost(struct tree_links *node, int side)
{
	while (node && node->child[side])
		node = node->child[side];
	return node;
}

struct tree_links *tree_neighbour(const struct tree_links *node, int side)
{
	if (node->child[side])
		return tree_outermost(node->child[side], !side);
	while (node->parent && tree_side_of(node->parent, node) == side)
		node = node->parent;
	return node->parent;
}

static bool is_linked(const struct tree_links *node)
{
	for (int side = SMALLER; side <= GREATER; side++)
		if (node->child[side] && node->child[side]->parent != node)
			return false;
	return node->child[SMALLER] != node->child[GREATER] || !node->child[SMALLER];
}

bool tree_is_linked(const struct tree_links *root)
{
	if (root && root->parent)
		return false;
	/* In order, without a stack that the depth could exhaust: a splay tree can be a list. */
	const struct tree_links *node = root;
	while (node && is_linked(node) && node->child[SMALLER])
		node = node->child[SMALLER];
	for (; node; node = tree_neighbour(node, GREATER))
		if (!is_linked(node))
			return false;
	return true;
}
