/* Frames: what only the memory manager itself calls. */
#ifndef MM_FRAMES_H
#define MM_FRAMES_H

#include <calypso/abi.h>
#include <calypso/mm.h>

/* A range of physical memory, by pages. */
struct span {
	physical_t start, end;
};

/* Free `count` frames from `start` on, which need not have been allocated as one block. */
void frames_free_range(physical_t start, uint64_t count);

/* The part of a FREE region that is in use from the start: whole chunks of 2 MiB. Where no region
 * has any, it is empty, and crumbs are in use from the start. */
struct span frames_whole_part(const struct calypso_region *region);

/* Whether any region has such a part. */
bool frames_have_whole_chunks(void);

/* Call `add` once, when no untouched chunk is left. It may allocate a few frames, and adds others. */
void frames_set_reserve(void (*add)(void));

/* Add a crumb: what is left of a FREE region before or behind its whole part. */
void frames_put_crumb(struct span crumb);

/* Add frames that the allocator knew nothing of, in RAM and with any content. */
void frames_add(struct span span);

#endif
