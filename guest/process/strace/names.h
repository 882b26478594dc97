/* Names for the numbers and bits in arguments of system calls. */
#ifndef PROCESS_STRACE_NAMES_H
#define PROCESS_STRACE_NAMES_H

#include <calypso/text.h>

/* Add the names of what `letter` says a number to be, and what has no name in hexadecimal. False
 * where no such kind of numbers has names. */
bool strace_add_names(struct text *text, char letter, uint64_t value);

/* "ENOENT", or NULL. */
const char *strace_error_name(int error);

#endif
