/* Marks on the console between which instructions are counted: see marks.py. */
#ifndef CALYPSO_MARKS_H
#define CALYPSO_MARKS_H

#include <stdio.h>

/* Have an operation counted that act(n) does n times: a different number of times in two turns. */
static inline void count_marked(const char *name, long times, void (*act)(long))
{
	for (long n = times; n <= 2 * times; n += times) {
		printf("calypso-bench: %s %ld\n", name, n);
		fflush(stdout);
		act(n);
		printf("calypso-bench: end\n");
		fflush(stdout);
	}
}

#endif
