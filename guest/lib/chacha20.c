/* ChaCha20, RFC 8439. */
#include <calypso/chacha20.h>
#include <calypso/lib.h>

#define DOUBLE_ROUNDS 10

static uint32_t rotate(uint32_t word, unsigned bits) { return word << bits | word >> (32 - bits); }

/* Section 2.1. */
static inline void quarter_round(uint32_t *s, unsigned a, unsigned b, unsigned c, unsigned d)
{
	s[a] += s[b];
	s[d] = rotate(s[d] ^ s[a], 16);
	s[c] += s[d];
	s[b] = rotate(s[b] ^ s[c], 12);
	s[a] += s[b];
	s[d] = rotate(s[d] ^ s[a], 8);
	s[c] += s[d];
	s[b] = rotate(s[b] ^ s[c], 7);
}

/* A function of its own in every kernel, so that the very code there can be put to the test. */
__attribute__((used)) void chacha20_block(const uint32_t key[CHACHA20_KEY_WORDS], uint32_t counter,
					  const uint32_t nonce[CHACHA20_NONCE_WORDS],
					  uint32_t block[CHACHA20_BLOCK_WORDS])
{
	/* "expand 32-byte k" */
	uint32_t start[CHACHA20_BLOCK_WORDS] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

	memcpy(&start[4], key, 32);
	start[12] = counter;
	memcpy(&start[13], nonce, 12);
	memcpy(block, start, sizeof(start));
	for (unsigned i = 0; i < DOUBLE_ROUNDS; i++) {
		quarter_round(block, 0, 4, 8, 12);
		quarter_round(block, 1, 5, 9, 13);
		quarter_round(block, 2, 6, 10, 14);
		quarter_round(block, 3, 7, 11, 15);
		quarter_round(block, 0, 5, 10, 15);
		quarter_round(block, 1, 6, 11, 12);
		quarter_round(block, 2, 7, 8, 13);
		quarter_round(block, 3, 4, 9, 14);
	}
	for (unsigned i = 0; i < CHACHA20_BLOCK_WORDS; i++)
		block[i] += start[i];
}
