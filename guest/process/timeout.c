/* Timeouts: a splay tree by time. Most are set for the end of a wait of the usual length, behind all
 * others, and most are reached or cancelled from the front: both ends cost O(1) amortised, however
 * many threads sleep. */
#include <calypso/time.h>
#include <process/timeout.h>

static struct splay_tree timeouts;
static struct timeout *earliest; /* asked for at the end of every system call */

static struct timeout *timeout_of(struct splay_node *node)
{
	return node == NULL ? NULL : container_of(node, struct timeout, node);
}

void timeout_cancel(struct timeout *timeout)
{
	if (!timeout->is_set)
		return;
	timeout->is_set = false;
	if (earliest == timeout)
		earliest = timeout_of(splay_node_next(&timeout->node));
	splay_tree_remove(&timeouts, &timeout->node);
}

/* Behind those of the same time. */
static void insert(struct timeout *timeout)
{
	struct splay_node **link = &timeouts.root, *parent = NULL;
	while (*link != NULL) {
		parent = *link;
		link = &parent->child[timeout->at >= timeout_of(parent)->at];
	}
	splay_tree_insert(&timeouts, &timeout->node, parent, link);
}

void timeout_set(struct timeout *timeout, uint64_t at)
{
	timeout_cancel(timeout);
	timeout->at = at;
	if (at == TIME_FOREVER)
		return;
	timeout->is_set = true;
	insert(timeout);
	if (earliest == NULL || at < earliest->at)
		earliest = timeout;
}

bool timeouts_are_set(void) { return earliest != NULL; }

uint64_t timeouts_next(void) { return earliest == NULL ? TIME_FOREVER : earliest->at; }

void timeouts_expire(uint64_t now)
{
	while (timeouts_next() <= now) {
		struct timeout *timeout = earliest;
		timeout_cancel(timeout);
		timeout->reached(timeout, now);
	}
}
