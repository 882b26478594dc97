/* The ChaCha20 block function of RFC 8439 (20 rounds). */
#ifndef CALYPSO_CHACHA20_H
#define CALYPSO_CHACHA20_H

#include <calypso/types.h>

#define CHACHA20_KEY_WORDS 8
#define CHACHA20_NONCE_WORDS 3
#define CHACHA20_BLOCK_WORDS 16

/* One block of key stream (section 2.3). All words little-endian, as both architectures are. */
void chacha20_block(const uint32_t key[CHACHA20_KEY_WORDS], uint32_t counter,
		    const uint32_t nonce[CHACHA20_NONCE_WORDS],
		    uint32_t block[CHACHA20_BLOCK_WORDS]);

#endif
