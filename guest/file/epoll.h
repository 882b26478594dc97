/* Epoll: sets of open files, of which those are at hand that became ready.
 *
 * An item listens at the file it watches. When the file tells of an event, the item goes to the end
 * of the list of ready ones; epoll_wait looks at those only. An item whose file turns out not to be
 * ready leaves the list; one that is reported goes to its end again, unless it is edge-triggered or
 * one-shot.
 *
 * An item is known by its open file and the number by which it was added. It ends with that open
 * file, which it does not keep from ending.
 */
#ifndef FILE_EPOLL_H
#define FILE_EPOLL_H

#include <file/open_file.h>
#include <uapi/epoll.h>

struct epoll;

/* A new instance as a file; NULL without memory. */
struct file *epoll_make(void);

/* The instance that a file is, or NULL. */
struct epoll *epoll_of(struct file *file);

/* EPOLL_CTL_*: 0; -EEXIST, -ENOENT, -EINVAL, -EPERM (the file is always ready), -ELOOP (instances
 * watch each other in a circle, or too many in a row), -ENOMEM. */
int epoll_control(struct epoll *epoll, int operation, struct open_file *open, int number,
		  const struct epoll_event *event);

/* Hand over at most `count` events that hold now: how many, or what `put` says where it fails at
 * the first. */
int epoll_collect(struct epoll *epoll, unsigned count,
		  int (*put)(void *argument, unsigned place, const struct epoll_event *event),
		  void *argument);

/* Wait for items to become ready: 0, -ETIMEDOUT, or -EINTR. */
int epoll_wait_for_items(struct epoll *epoll, uint64_t deadline);

/* An open file is about to end: so do its items. */
void epoll_forget(struct open_file *open);

#endif
