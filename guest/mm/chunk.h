/* Chunks: 2 MiB of frames, in free blocks of 1 to 512 frames that are united with their buddies. */
#ifndef MM_CHUNK_H
#define MM_CHUNK_H

#include <calypso/mm.h>

#define CHUNK_ORDER 9
#define CHUNK_FRAMES (1u << CHUNK_ORDER)
#define CHUNK_SIZE (PAGE_SIZE << CHUNK_ORDER)
#define CHUNK_ORDERS (CHUNK_ORDER + 1)

struct chunk {
	bool ready; /* the record has been written */
	/* Bit `1024 - (1024 >> order) + (frame >> order)`: that block is free. */
	uint64_t free[16];
	struct chunk *next, *previous; /* in the list of its largest free order */
	physical_t base;
	uint16_t blocks[CHUNK_ORDERS]; /* free ones of each order */
	uint16_t orders;	       /* bit o: blocks[o] is not 0 */
	uint64_t written[CHUNK_FRAMES / 64]; /* bit f: frame f may have been written to */
};

/* Take a block out of a chunk whose largest free block is sufficient: its first frame. */
unsigned chunk_take(struct chunk *chunk, unsigned order);

/* Free a block and unite it with its buddy as long as that is free too. */
void chunk_put(struct chunk *chunk, unsigned frame, unsigned order);

/* Change the bit of one block, whose buddy is not free. */
void chunk_mark_free(struct chunk *chunk, unsigned frame, unsigned order);
void chunk_mark_used(struct chunk *chunk, unsigned frame, unsigned order);

/* Note that frames are going to be written to; whether one of them may have been already. */
bool chunk_mark_written(struct chunk *chunk, unsigned frame, unsigned order);

/* The order of the largest aligned block that starts at `frame` and has at most `count` frames. */
unsigned chunk_fitting_order(unsigned frame, uint64_t count);

/* The order of the largest free block, or -1. */
static inline int chunk_largest_order(const struct chunk *chunk)
{
	return chunk->orders == 0 ? -1 : 31 - __builtin_clz(chunk->orders);
}

#endif
