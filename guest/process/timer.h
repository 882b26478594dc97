/* Timers that send signals: alarm(2), setitimer(2), timer_create(2). */
#ifndef PROCESS_TIMER_H
#define PROCESS_TIMER_H

/* Delete those of timer_create (execve). */
void timers_delete(void);

#endif
