/* Timers that send signals: alarm(2), setitimer(2), timer_create(2). */
#ifndef PROCESS_TIMER_H
#define PROCESS_TIMER_H

#include <calypso/types.h>

/* When the next timer expires; TIME_FOREVER where none runs. */
uint64_t timers_next(void);

/* Send what is due; the next time. */
uint64_t timers_expire(uint64_t now);

/* Delete those of timer_create (execve). */
void timers_delete(void);

#endif
