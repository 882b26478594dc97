/* Clocks as the program names them (clockid_t). */
#ifndef PROCESS_CLOCK_H
#define PROCESS_CLOCK_H

#include <calypso/types.h>

struct clock {
	enum clock_kind {
		CLOCK_OF_WALL,
		CLOCK_OF_MACHINE,
		CLOCK_OF_PROCESS, /* time of all threads on the processor */
		CLOCK_OF_THREAD,  /* time of one of them */
	} kind;
	int thread;
};

/* What a number names; false: nothing. */
bool clock_find(int number, struct clock *clock);

/* What it shows, in ns. False: the thread has ended. */
bool clock_read(const struct clock *clock, uint64_t *now);

/* Whether it stands still while somebody else runs, or nobody. */
static inline bool clock_is_of_cpu(const struct clock *clock)
{
	return clock->kind >= CLOCK_OF_PROCESS;
}

#endif
