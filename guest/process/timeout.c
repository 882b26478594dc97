/* Timeouts: a list in the order of their times. */
#include <calypso/time.h>
#include <process/timeout.h>

static struct timeout *timeouts;

void timeout_cancel(struct timeout *timeout)
{
	if (timeout->link == NULL)
		return;
	*timeout->link = timeout->next;
	if (timeout->next != NULL)
		timeout->next->link = timeout->link;
	timeout->link = NULL;
}

void timeout_set(struct timeout *timeout, uint64_t at)
{
	timeout_cancel(timeout);
	timeout->at = at;
	if (at == TIME_FOREVER)
		return;
	struct timeout **link = &timeouts;
	while (*link != NULL && (*link)->at <= at)
		link = &(*link)->next;
	timeout->next = *link;
	timeout->link = link;
	if (timeout->next != NULL)
		timeout->next->link = &timeout->next;
	*link = timeout;
}

uint64_t timeouts_next(void) { return timeouts == NULL ? TIME_FOREVER : timeouts->at; }

void timeouts_expire(uint64_t now)
{
	while (timeouts_next() <= now) {
		struct timeout *timeout = timeouts;
		timeout_cancel(timeout);
		timeout->reached(timeout, now);
	}
}
