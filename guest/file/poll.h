/* Readiness: who is to be told when the events of a file change.
 *
 * A file whose readiness changes has a `struct poll_state` (file->poll_state): the list of those
 * who listen. Whoever makes the file readable, writable, or ends it calls poll_notify. What holds
 * now is another question, which the file's operation `poll` answers (file_poll).
 *
 * A listener is embedded in an object of its owner: of a thread that waits (poll_wait and `struct
 * poll_waiter` below), or of an epoll item. Nothing runs between a look at a file and the beginning
 * of a wait, for a thread runs until it waits: look first, then wait, then look again.
 */
#ifndef FILE_POLL_H
#define FILE_POLL_H

#include <calypso/types.h>
#include <uapi/poll.h>

struct poll_listener {
	struct poll_state *state; /* NULL: listens to nothing */
	struct poll_listener *previous, *next;
	unsigned events; /* POLL* that it wants to hear of */
	bool exclusive;	 /* once one such has taken the event, no other is told */
	/* Something happened; whether that was taken. It may not remove listeners. */
	bool (*notify)(struct poll_listener *listener, unsigned events);
};

/* All zero: nobody listens. Must outlive its listeners. */
struct poll_state {
	struct poll_listener *first, *last;
};

/* Listen from now on; the rest of `listener` is filled in. */
void poll_listen(struct poll_state *state, struct poll_listener *listener);

/* Listen no more; allowed where it does not. */
void poll_unlisten(struct poll_listener *listener);

/* Tell all listeners that want one of these events, in the order in which they came. */
void poll_notify(struct poll_state *state, unsigned events);

/* ---- Threads that wait ---- */

/* A thread that waits for any of several files. */
struct poll_wait {
	struct thread *thread;
	bool told;
};

struct poll_waiter {
	struct poll_listener listener;
	struct poll_wait *wait;
};

/* Begin to wait in the running thread; each file then gets a waiter of its own. */
struct poll_wait poll_wait_begin(void);
void poll_wait_add(struct poll_wait *wait, struct poll_state *state, struct poll_waiter *waiter,
		   unsigned events);

/* Events come from outside that nobody tells of while the program computes: of time, and of the
 * host. Look for them before files are looked at; and let others run first, where the kernel's
 * command line (poll.yield=1) or the build (POLL_YIELD) says so. */
void poll_look_outside(void);

/* Wait until one was told something since the last call: 0, -ETIMEDOUT or -EINTR. */
int poll_wait_any(struct poll_wait *wait, uint64_t deadline);

/* Wait in a call on one file until it tells one of these events: 0; -EAGAIN at the deadline;
 * -ERESTARTSYS for a signal. */
int poll_wait_for(struct poll_state *state, unsigned events, uint64_t deadline);

#endif
