/* Things that are to happen at a time. */
#ifndef PROCESS_TIMEOUT_H
#define PROCESS_TIMEOUT_H

#include <calypso/splay_tree.h>
#include <calypso/types.h>

/* Embedded in what it is about. All zero besides `reached`: not set. */
struct timeout {
	struct splay_node node;
	bool is_set;
	uint64_t at; /* monotonic */
	void (*reached)(struct timeout *timeout, uint64_t now); /* it is no longer set */
};

/* Set it, or set it anew; TIME_FOREVER: cancel it. */
void timeout_set(struct timeout *timeout, uint64_t at);
void timeout_cancel(struct timeout *timeout);

/* Whether there is one. */
bool timeouts_are_set(void);

/* When the next one is reached; TIME_FOREVER where none is set. */
uint64_t timeouts_next(void);

/* Let happen what is due. */
void timeouts_expire(uint64_t now);

#endif
