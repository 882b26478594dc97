/* Listeners of files, and threads that wait for them. */
#include <calypso/bootinfo.h>
#include <calypso/errno.h>
#include <file/stream.h>
#include <process/thread.h>
#include <process/timeout.h>

/* POLL_YIELD: whether polling yields where the command line does not tell; guest/build.py says. */
#ifndef POLL_YIELD
#define POLL_YIELD 0
#endif

static struct thread_list waiting;

void poll_listen(struct poll_state *state, struct poll_listener *listener)
{
	listener->state = state;
	listener->previous = state->last;
	listener->next = NULL;
	if (state->last != NULL)
		state->last->next = listener;
	else
		state->first = listener;
	state->last = listener;
}

void poll_unlisten(struct poll_listener *listener)
{
	struct poll_state *state = listener->state;
	if (state == NULL)
		return;
	if (listener->previous != NULL)
		listener->previous->next = listener->next;
	else
		state->first = listener->next;
	if (listener->next != NULL)
		listener->next->previous = listener->previous;
	else
		state->last = listener->previous;
	listener->state = NULL;
}

void poll_notify(struct poll_state *state, unsigned events)
{
	bool taken = false;
	for (struct poll_listener *listener = state->first; listener != NULL;
	     listener = listener->next) {
		if ((listener->events & events) == 0 || (listener->exclusive && taken))
			continue;
		bool took = listener->notify(listener, events);
		taken |= took && listener->exclusive;
	}
}

/* ---- Threads that wait ---- */

static bool tell_thread(struct poll_listener *listener, unsigned events)
{
	(void)events;
	struct poll_wait *wait = container_of(listener, struct poll_waiter, listener)->wait;
	bool news = !wait->told;
	wait->told = true;
	if (wait->thread->list == &waiting)
		thread_wake(wait->thread, 0);
	return news;
}

struct poll_wait poll_wait_begin(void) { return (struct poll_wait){.thread = current_thread}; }

void poll_wait_add(struct poll_wait *wait, struct poll_state *state, struct poll_waiter *waiter,
		   unsigned events)
{
	*waiter = (struct poll_waiter){
		.listener = {.events = events | POLLERR | POLLHUP, .notify = tell_thread},
		.wait = wait,
	};
	poll_listen(state, &waiter->listener);
}

/* What is told before the thread has looked again is no news. */
int poll_wait_any(struct poll_wait *wait, uint64_t deadline)
{
	int result = wait->told ? 0 : thread_wait(&waiting, deadline);
	wait->told = false;
	return result;
}

static bool yields(void)
{
	static enum { UNKNOWN, NO, YES } answer;
	if (answer == UNKNOWN)
		answer = command_line_number("poll.yield", POLL_YIELD) != 0 ? YES : NO;
	return answer == YES;
}

void poll_look_outside(void)
{
	if (yields())
		thread_yield();
	if (timeouts_next() != TIME_FOREVER)
		timeouts_expire(time_monotonic());
	if (stream_input_state.first != NULL)
		stream_input_ready();
}

int poll_wait_for(struct poll_state *state, unsigned events, uint64_t deadline)
{
	struct poll_wait wait = poll_wait_begin();
	struct poll_waiter waiter;
	poll_wait_add(&wait, state, &waiter, events);
	int result = poll_wait_any(&wait, deadline);
	poll_unlisten(&waiter.listener);
	if (result == -EINTR)
		return -ERESTARTSYS;
	return result == -ETIMEDOUT ? -EAGAIN : 0;
}
