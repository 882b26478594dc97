/* Splay tree, bottom-up. The names of the steps are those of the paper (see <calypso/splay_tree.h>). */
#include <calypso/splay_tree.h>

#include "lib/tree.h"

static_assert(offsetof(struct splay_node, parent) == offsetof(struct tree_links, parent) &&
		      offsetof(struct splay_node, child) == offsetof(struct tree_links, child),
	      "nodes begin with the links");

static struct tree_links *links_of(const struct splay_node *node)
{
	return (struct tree_links *)(uintptr_t)node;
}

static struct splay_node *node_of(struct tree_links *links)
{
	return (struct splay_node *)links;
}

/* Move a node to the root. */
static void splay(struct splay_tree *tree, struct splay_node *splayed)
{
	struct tree_links **root = (struct tree_links **)&tree->root;
	struct tree_links *node = links_of(splayed), *parent;

	while ((parent = node->parent)) {
		const struct tree_links *above = parent->parent;

		/* zig: only the last step. */
		if (above) {
			bool straight = tree_side_of(above, parent) == tree_side_of(parent, node);

			/* zig-zig or zig-zag */
			tree_rotate_up(root, straight ? parent : node);
		}
		tree_rotate_up(root, node);
	}
}

void splay_tree_insert(struct splay_tree *tree, struct splay_node *node, struct splay_node *parent,
		       struct splay_node **link)
{
	*node = (struct splay_node){.parent = parent};
	*link = node;
	splay(tree, node);
}

bool splay_tree_add(struct splay_tree *tree, struct splay_node *node, splay_compare *compare,
		    uint64_t key)
{
	struct splay_node **link = &tree->root, *parent = NULL;

	while (*link) {
		int order = compare(*link, key);

		parent = *link;
		if (order == 0) {
			splay(tree, parent);
			return false;
		}
		link = &parent->child[order < 0];
	}
	splay_tree_insert(tree, node, parent, link);
	return true;
}

void splay_tree_remove(struct splay_tree *tree, struct splay_node *node)
{
	splay(tree, node);
	struct splay_node *smaller = node->child[SMALLER], *greater = node->child[GREATER];

	/* Join the two: the greatest of the smaller ones, as their root, has no greater child. */
	tree->root = smaller ? smaller : greater;
	if (tree->root)
		tree->root->parent = NULL;
	if (!smaller || !greater)
		return;
	splay_tree_last(tree);
	tree->root->child[GREATER] = greater;
	greater->parent = tree->root;
}

/* The last node that is on `side` of the key, or has it. The last node on the way is splayed where
 * there is none, for the way has to be paid for. */
static struct splay_node *nearest(struct splay_tree *tree, splay_compare *compare, uint64_t key,
				  int side)
{
	struct splay_node *node = tree->root, *best = NULL, *last = NULL;

	while (node) {
		int order = compare(node, key);

		last = node;
		if (order == 0) {
			best = node;
			break;
		}
		if ((order > 0) == side)
			best = node;
		node = node->child[order < 0];
	}
	if (last)
		splay(tree, last);
	if (best)
		splay(tree, best);
	return best;
}

struct splay_node *splay_tree_at_or_below(struct splay_tree *tree, splay_compare *compare,
					  uint64_t key)
{
	return nearest(tree, compare, key, SMALLER);
}

struct splay_node *splay_tree_at_or_above(struct splay_tree *tree, splay_compare *compare,
					  uint64_t key)
{
	return nearest(tree, compare, key, GREATER);
}

struct splay_node *splay_tree_find(struct splay_tree *tree, splay_compare *compare, uint64_t key)
{
	struct splay_node *node = nearest(tree, compare, key, SMALLER);

	return node && compare(node, key) == 0 ? node : NULL;
}

static struct splay_node *outermost(struct splay_tree *tree, int side)
{
	struct splay_node *node = node_of(tree_outermost(links_of(tree->root), side));

	if (node)
		splay(tree, node);
	return node;
}

struct splay_node *splay_tree_first(struct splay_tree *tree)
{
	return outermost(tree, SMALLER);
}

struct splay_node *splay_tree_last(struct splay_tree *tree)
{
	return outermost(tree, GREATER);
}

struct splay_node *splay_node_next(const struct splay_node *node)
{
	return node_of(tree_neighbour(links_of(node), GREATER));
}

struct splay_node *splay_node_previous(const struct splay_node *node)
{
	return node_of(tree_neighbour(links_of(node), SMALLER));
}

bool splay_tree_valid(const struct splay_tree *tree)
{
	return tree_is_linked(links_of(tree->root));
}
