/* Futexes: what threads of a program wait for by the content of a word. */
#ifndef PROCESS_FUTEX_H
#define PROCESS_FUTEX_H

#include <process/thread.h>

/* Tell others that a thread ends: the words of its robust list, and the one that clone named. */
void futex_end_thread(struct thread *thread);

#endif
