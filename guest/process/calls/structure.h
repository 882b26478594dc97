/* Structures of the program that have grown from version to version. */
#ifndef PROCESS_CALLS_STRUCTURE_H
#define PROCESS_CALLS_STRUCTURE_H

#include <calypso/user.h>

/* Copy one of `size` bytes into the `known` ones: what is missing is 0, and what is not known must be.
 * 0, -EFAULT, or -E2BIG. */
int structure_get(void *to, size_t known, user_t from, size_t size);

#endif
