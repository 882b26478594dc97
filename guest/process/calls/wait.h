/* What calls that wait for some time share. */
#ifndef PROCESS_CALLS_WAIT_H
#define PROCESS_CALLS_WAIT_H

#include <uapi/types.h>

/* A time of the program in ns, cut to what a clock can reach. 0, or -EINVAL. */
int wait_duration(const struct timespec *time, uint64_t *duration);

#endif
