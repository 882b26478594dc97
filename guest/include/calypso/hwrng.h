/* The hardware random number generator: a virtio entropy device where there is one, else that of
 * the board (vmm/devices/hwrng.py). */
#ifndef CALYPSO_HWRNG_H
#define CALYPSO_HWRNG_H

#include <calypso/types.h>

/* Eight random bytes of the device. 0; -ENODEV where there is none; -EAGAIN while it has no fresh
 * ones; -EIO once each time its source has failed. */
int hwrng_read(uint64_t *value);

/* The same of the virtio device alone. */
int virtio_rng_read(uint64_t *value);

#endif
