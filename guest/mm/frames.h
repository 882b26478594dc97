/* Frames: what only the memory manager itself calls. */
#ifndef MM_FRAMES_H
#define MM_FRAMES_H

#include <calypso/mm.h>

/* Free `count` frames from `start` on, which need not have been allocated as one block. */
void frames_free_range(physical_t start, uint64_t count);

/* Give the allocator frames that it did not have, in RAM and with any content. */
void frames_add(physical_t start, uint64_t count);

#endif
