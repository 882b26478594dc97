/* Structures that arguments of system calls point to, and signals, as text. */
#ifndef PROCESS_STRACE_STRUCTURES_H
#define PROCESS_STRACE_STRUCTURES_H

#include <calypso/text.h>

/* Add what is at `address`, by the letters of decode.c. False, with nothing added, where it
 * cannot be read or the letter is none of a structure. */
bool strace_add_structure(struct text *text, char letter, user_t address);

/* "SIGTERM", "SIGRT_3", or a number. */
void strace_add_signal(struct text *text, int signal);

#endif
