/* Arguments of system calls as text. */
#ifndef PROCESS_STRACE_DECODE_H
#define PROCESS_STRACE_DECODE_H

#include <calypso/text.h>

/* A call that is being shown. */
struct shown_call {
	const uint64_t *argument; /* six */
	bool returned;
	int64_t result; /* once it has returned */
};

/* Whether the call has that argument at all: what some calls take depends on others. */
bool strace_has_argument(char letter, const struct shown_call *call, unsigned i);

/* Add argument `i` as `letter` says; what has no letter ('\0') in hexadecimal. */
void strace_add_argument(struct text *text, char letter, const struct shown_call *call, unsigned i);

/* Add a result in decimal, or as `letter` says; errors by their names. */
void strace_add_result(struct text *text, char letter, int64_t result);

#endif
