/* What a program and the kernel exchange, as Linux defines it for 64-bit machines.
 *
 * Each header of this folder holds the numbers and layouts of one subject that are the same on
 * both architectures; <arch/uapi.h> holds the few that are not.
 */
#ifndef UAPI_TYPES_H
#define UAPI_TYPES_H

#include <calypso/types.h>

struct timespec {
	int64_t tv_sec;
	int64_t tv_nsec;
};

struct timeval {
	int64_t tv_sec;
	int64_t tv_usec;
};

struct iovec {
	user_t iov_base;
	uint64_t iov_len;
};

#define PATH_MAX 4096 /* with the NUL */
#define NAME_MAX 255  /* without one */
#define IOV_MAX 1024

#define RWF_HIPRI 1
#define RWF_DSYNC 2
#define RWF_SYNC 4

#define NANOSECONDS_PER_MICROSECOND 1000
#define NANOSECONDS_PER_MILLISECOND 1000000

#endif
