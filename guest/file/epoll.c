/* Epoll. */
#include <calypso/lib.h>
#include <calypso/rank_tree.h>
#include <file/anonymous.h>
#include <file/epoll.h>

/* Bits of an item's events that are about how to report. */
#define PRIVATE (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)

/* What may be asked together with EPOLLEXCLUSIVE. */
#define WITH_EXCLUSIVE \
	(POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

/* This many instances may watch each other in a row; Linux's EP_MAX_NESTS and the first one. */
#define NESTED_MAX 4

struct epoll {
	struct file file;
	struct poll_state poll_state; /* for poll(2), and for instances that watch this one */
	struct poll_state waiters;    /* threads in epoll_wait, of which an event wakes one */
	struct rank_tree items;
	struct epoll_item *first_ready, *last_ready;
	unsigned ready_count;
};

struct epoll_item {
	struct rank_node node;
	struct poll_listener listener;
	struct epoll *epoll;
	struct open_file *open; /* ends this item when it ends */
	int number;
	struct epoll_item *next_watch; /* of the same open file */
	uint32_t events;
	uint64_t data;
	bool is_ready; /* in the list */
	struct epoll_item *previous_ready, *next_ready;
};

static const struct file_operations operations;

struct epoll *epoll_of(struct file *file)
{
	return file->operations == &operations ? container_of(file, struct epoll, file) : NULL;
}

/* ---- The list of ready items ---- */

static void append_ready(struct epoll_item *item)
{
	struct epoll *epoll = item->epoll;
	item->is_ready = true;
	item->next_ready = NULL;
	item->previous_ready = epoll->last_ready;
	if (epoll->last_ready != NULL)
		epoll->last_ready->next_ready = item;
	else
		epoll->first_ready = item;
	epoll->last_ready = item;
	epoll->ready_count++;
}

static void remove_ready(struct epoll_item *item)
{
	struct epoll *epoll = item->epoll;
	if (!item->is_ready)
		return;
	if (item->previous_ready != NULL)
		item->previous_ready->next_ready = item->next_ready;
	else
		epoll->first_ready = item->next_ready;
	if (item->next_ready != NULL)
		item->next_ready->previous_ready = item->previous_ready;
	else
		epoll->last_ready = item->previous_ready;
	item->is_ready = false;
	epoll->ready_count--;
}

static void tell(struct epoll *epoll)
{
	poll_notify(&epoll->waiters, POLLIN);
	poll_notify(&epoll->poll_state, POLLIN | POLLRDNORM);
}

/* The watched file has news. */
static bool item_told(struct poll_listener *listener, unsigned events)
{
	(void)events;
	struct epoll_item *item = container_of(listener, struct epoll_item, listener);
	bool taken = item->epoll->waiters.first != NULL;
	if (!item->is_ready)
		append_ready(item);
	tell(item->epoll);
	return taken;
}

static unsigned events_now(const struct epoll_item *item)
{
	return open_file_poll(item->open) & item->events;
}

/* ---- Items ---- */

static struct epoll_item *item_of(struct rank_node *node)
{
	return container_of(node, struct epoll_item, node);
}

/* Where an item is, or would be. */
static struct rank_node **locate(struct epoll *epoll, const struct open_file *open, int number,
				 struct rank_node **parent)
{
	struct rank_node **link = &epoll->items.root;
	*parent = NULL;
	while (*link != NULL) {
		const struct epoll_item *item = item_of(*link);
		if (item->open == open && item->number == number)
			break;
		bool greater = item->open == open ? number > item->number
						  : (uintptr_t)open > (uintptr_t)item->open;
		*parent = *link;
		link = &(*link)->child[greater];
	}
	return link;
}

/* Watch for other events from now on. */
static void set_events(struct epoll_item *item, const struct epoll_event *event)
{
	item->events = event->events | POLLERR | POLLHUP;
	item->data = event->data;
	item->listener.events = item->events & ~PRIVATE;
	item->listener.exclusive = (item->events & EPOLLEXCLUSIVE) != 0;
	if (events_now(item) == 0 || item->is_ready)
		return;
	append_ready(item);
	tell(item->epoll);
}

/* How many instances in a row are below this one; more than NESTED_MAX where `above` is one of
 * them. */
static unsigned depth_below(const struct epoll *epoll, const struct epoll *above, unsigned level)
{
	unsigned depth = 0;
	if (epoll == above || level > NESTED_MAX)
		return NESTED_MAX + 1;
	struct rank_node *node = rank_tree_first(&epoll->items);
	for (; node != NULL && depth <= NESTED_MAX; node = rank_node_next(node)) {
		const struct epoll *below = epoll_of(item_of(node)->open->file);
		unsigned found = below == NULL ? 0 : depth_below(below, above, level + 1) + 1;
		depth = found > depth ? found : depth;
	}
	return depth;
}

static unsigned depth_above(const struct epoll *epoll)
{
	unsigned depth = 0;
	for (const struct poll_listener *listener = epoll->poll_state.first; listener != NULL;
	     listener = listener->next) {
		if (listener->notify != item_told)
			continue;
		const struct epoll_item *item =
			container_of((struct poll_listener *)listener, struct epoll_item, listener);
		unsigned found = depth_above(item->epoll) + 1;
		depth = found > depth ? found : depth;
	}
	return depth;
}

static int check_nesting(const struct epoll *epoll, struct file *file)
{
	const struct epoll *below = epoll_of(file);
	if (below == NULL)
		return 0;
	unsigned depth = depth_below(below, epoll, 0);
	return depth + 1 + depth_above(epoll) > NESTED_MAX ? -ELOOP : 0;
}

static int add(struct epoll *epoll, struct open_file *open, int number,
	       const struct epoll_event *event)
{
	struct rank_node *parent, **link = locate(epoll, open, number, &parent);
	if (*link != NULL)
		return -EEXIST;
	struct epoll_item *item = kcalloc(1, sizeof(*item));
	if (item == NULL)
		return -ENOMEM;
	item->epoll = epoll;
	item->open = open;
	item->number = number;
	item->next_watch = open->watches;
	open->watches = item;
	rank_tree_insert(&epoll->items, &item->node, parent, link);
	item->listener.notify = item_told;
	poll_listen(open->file->poll_state, &item->listener);
	set_events(item, event);
	return 0;
}

static void remove(struct epoll_item *item)
{
	struct epoll_item **link = &item->open->watches;
	while (*link != item)
		link = &(*link)->next_watch;
	*link = item->next_watch;
	poll_unlisten(&item->listener);
	remove_ready(item);
	rank_tree_remove(&item->epoll->items, &item->node);
	kfree(item);
}

void epoll_forget(struct open_file *open)
{
	while (open->watches != NULL)
		remove(open->watches);
}

static bool exclusive_is_valid(int operation, const struct open_file *open, uint32_t events)
{
	if (operation == EPOLL_CTL_DEL || (events & EPOLLEXCLUSIVE) == 0)
		return true;
	return operation != EPOLL_CTL_MOD && epoll_of(open->file) == NULL &&
	       (events & ~WITH_EXCLUSIVE) == 0;
}

int epoll_control(struct epoll *epoll, int operation, struct open_file *open, int number,
		  const struct epoll_event *event)
{
	if (!exclusive_is_valid(operation, open, event->events))
		return -EINVAL;
	if (operation == EPOLL_CTL_ADD) {
		int error = check_nesting(epoll, open->file);
		return error != 0 ? error : add(epoll, open, number, event);
	}
	if (operation != EPOLL_CTL_DEL && operation != EPOLL_CTL_MOD)
		return -EINVAL;
	struct rank_node *parent, *node = *locate(epoll, open, number, &parent);
	if (node == NULL)
		return -ENOENT;
	struct epoll_item *item = item_of(node);
	if (operation == EPOLL_CTL_DEL)
		remove(item);
	else if ((item->events & EPOLLEXCLUSIVE) != 0)
		return -EINVAL;
	else
		set_events(item, event);
	return 0;
}

/* ---- Events ---- */

/* An item was reported: where it goes now. */
static void settle(struct epoll_item *item)
{
	if ((item->events & EPOLLONESHOT) != 0) {
		item->events &= PRIVATE;
		item->listener.events = 0;
	} else if ((item->events & EPOLLET) == 0) {
		append_ready(item);
	}
}

int epoll_collect(struct epoll *epoll, unsigned count,
		  int (*put)(void *argument, unsigned place, const struct epoll_event *event),
		  void *argument)
{
	int collected = 0;
	unsigned left = epoll->ready_count; /* those that come to the list now wait */
	for (; left > 0 && (unsigned)collected < count; left--) {
		struct epoll_item *item = epoll->first_ready;
		struct epoll_event event = {.events = events_now(item), .data = item->data};
		if (event.events != 0) {
			int error = put(argument, (unsigned)collected, &event);
			if (error != 0)
				return collected > 0 ? collected : error;
		}
		remove_ready(item);
		if (event.events == 0)
			continue;
		collected++;
		settle(item);
	}
	if (epoll->ready_count > 0)
		poll_notify(&epoll->waiters, POLLIN);
	return collected;
}

int epoll_wait_for_items(struct epoll *epoll, uint64_t deadline)
{
	struct poll_wait wait = poll_wait_begin();
	struct poll_waiter waiter;
	poll_wait_add(&wait, &epoll->waiters, &waiter, POLLIN);
	waiter.listener.exclusive = true;
	int result = poll_wait_any(&wait, deadline);
	poll_unlisten(&waiter.listener);
	return result;
}

/* Whether an item is ready; those that are not leave the list. */
static unsigned epoll_poll(struct file *file, unsigned flags)
{
	(void)flags;
	struct epoll *epoll = epoll_of(file);
	while (epoll->first_ready != NULL && events_now(epoll->first_ready) == 0)
		remove_ready(epoll->first_ready);
	return epoll->first_ready != NULL ? POLLIN | POLLRDNORM : 0;
}

/* ---- The file ---- */

static const struct file_operations operations = {.poll = epoll_poll};

static void release(struct file *file)
{
	struct epoll *epoll = epoll_of(file);
	struct rank_node *node;
	while ((node = rank_tree_first(&epoll->items)) != NULL)
		remove(item_of(node));
	kfree(epoll);
}

static const struct file_system epolls = ANONYMOUS_FILE_SYSTEM("[eventpoll]", release);

struct file *epoll_make(void)
{
	struct epoll *epoll = kcalloc(1, sizeof(*epoll));
	if (epoll == NULL)
		return NULL;
	file_initialize(&epoll->file, &epolls, &operations, ANONYMOUS_MODE, file_now());
	epoll->file.poll_state = &epoll->poll_state;
	return &epoll->file;
}
