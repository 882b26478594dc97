/* Chunks: bits for blocks, from which everything else follows. */
#include "mm/chunk.h"

#include <calypso/log.h>

static unsigned block_bit(unsigned frame, unsigned order)
{
	return 1024 - (1024 >> order) + (frame >> order);
}

static bool block_is_free(const struct chunk *chunk, unsigned frame, unsigned order)
{
	unsigned bit = block_bit(frame, order);

	return (chunk->free[bit / 64] >> bit % 64 & 1) != 0;
}

void chunk_mark_free(struct chunk *chunk, unsigned frame, unsigned order)
{
	unsigned bit = block_bit(frame, order);

	chunk->free[bit / 64] |= 1ull << bit % 64;
	chunk->blocks[order]++;
	chunk->orders |= (uint16_t)(1u << order);
}

void chunk_mark_used(struct chunk *chunk, unsigned frame, unsigned order)
{
	unsigned bit = block_bit(frame, order);

	chunk->free[bit / 64] &= ~(1ull << bit % 64);
	if (--chunk->blocks[order] == 0)
		chunk->orders &= (uint16_t) ~(1u << order);
}

/* The lowest free block of an order that has one. */
static unsigned first_free(const struct chunk *chunk, unsigned order)
{
	unsigned first = block_bit(0, order);
	unsigned word = first / 64;
	uint64_t bits = chunk->free[word] >> first % 64 << first % 64;

	while (bits == 0)
		bits = chunk->free[++word];
	return (word * 64 + (unsigned)__builtin_ctzll(bits) - first) << order;
}

unsigned chunk_take(struct chunk *chunk, unsigned order)
{
	unsigned from = order + (unsigned)__builtin_ctz((unsigned)chunk->orders >> order);
	unsigned frame = first_free(chunk, from);

	chunk_mark_used(chunk, frame, from);
	while (from > order) {
		from--;
		chunk_mark_free(chunk, frame + (1u << from), from);
	}
	return frame;
}

void chunk_put(struct chunk *chunk, unsigned frame, unsigned order)
{
	assert_that(!block_is_free(chunk, frame, order));
	for (; order < CHUNK_ORDER; order++) {
		unsigned buddy = frame ^ (1u << order);

		if (!block_is_free(chunk, buddy, order))
			break;
		chunk_mark_used(chunk, buddy, order);
		frame &= ~(1u << order);
	}
	chunk_mark_free(chunk, frame, order);
}

unsigned chunk_fitting_order(unsigned frame, uint64_t count)
{
	unsigned order = CHUNK_ORDER;

	if (frame != 0)
		order = (unsigned)__builtin_ctz(frame);
	if (count < 1u << order)
		order = 63 - (unsigned)__builtin_clzll(count);
	return order;
}

bool chunk_mark_written(struct chunk *chunk, unsigned frame, unsigned order)
{
	uint64_t before = 0;

	if (order < 6) {
		uint64_t bits = ((1ull << (1u << order)) - 1) << frame % 64;

		before = chunk->written[frame / 64] & bits;
		chunk->written[frame / 64] |= bits;
		return before != 0;
	}
	for (unsigned word = frame / 64; word < (frame + (1u << order)) / 64; word++) {
		before |= chunk->written[word];
		chunk->written[word] = UINT64_MAX;
	}
	return before != 0;
}
