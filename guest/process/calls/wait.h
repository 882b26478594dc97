/* What calls that wait for some time share. */
#ifndef PROCESS_CALLS_WAIT_H
#define PROCESS_CALLS_WAIT_H

#include <uapi/types.h>

/* A time of the program in ns, cut to what a clock can reach. 0, or -EINVAL. */
int wait_duration(const struct timespec *time, uint64_t *duration);

/* A time in ns as the program sees it. */
struct timespec wait_timespec(uint64_t time);

/* The deadline that a timespec of the program from now on means; without one (0), TIME_FOREVER.
 * 0, -EFAULT or -EINVAL. */
int wait_deadline(user_t address, uint64_t *deadline);

/* The deadline of a number of milliseconds from now; below 0: TIME_FOREVER. */
uint64_t wait_milliseconds(int milliseconds);

/* Until the call has ended, which waits, block the signals of a set of the program; a null address
 * means no change. 0, -EFAULT or -EINVAL. */
int wait_with_mask(user_t address, uint64_t size);

#endif
