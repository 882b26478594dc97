/* What the scheduler does for those that make and end threads (thread.c). */
#ifndef PROCESS_SCHEDULER_H
#define PROCESS_SCHEDULER_H

#include <process/thread.h>

/* All threads, in no order. */
extern struct thread *all_threads;

/* Let a new thread be ready, or wait in a list. */
void scheduler_make_ready(struct thread *thread);
void scheduler_append(struct thread_list *list, struct thread *thread);

/* Whether a thread waits for something: it neither runs nor is ready. */
bool scheduler_waits(const struct thread *thread);

/* Let a thread be in no list, and have no deadline: it is about to end. */
void scheduler_forget(struct thread *thread);

/* Run another thread and never come back. */
noreturn void scheduler_leave(void);

#endif
