/* The random number generator.
 *
 * Every request takes a fresh key from the first block of the key stream and erases the old one
 * before it gives out what follows, so that what was given out cannot be computed again later.
 */
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/chacha20.h>
#include <calypso/host.h>
#include <calypso/lib.h>
#include <process/random.h>

#define BLOCK_SIZE (CHACHA20_BLOCK_WORDS * sizeof(uint32_t))

/* A generator's state lasts for this many blocks of one request. */
#define BLOCKS_PER_KEY 256

static const uint32_t nonce[CHACHA20_NONCE_WORDS];

static struct {
	bool seeded;
	uint32_t key[CHACHA20_KEY_WORDS];
} generator;

/* The first half of the VMM's seed has served as AT_RANDOM. */
static bool given_to_program;

/* Overwrite, even where nobody looks at the memory again. */
static void erase(void *secret, size_t length)
{
	memset(secret, 0, length);
	__asm__ volatile("" ::"r"(secret) : "memory");
}

void random_for_program(uint8_t bytes[RANDOM_FOR_PROGRAM])
{
	if (given_to_program) {
		random_fill(bytes, RANDOM_FOR_PROGRAM);
		return;
	}
	memcpy(bytes, bootinfo.seed, RANDOM_FOR_PROGRAM);
	erase(bootinfo.seed, RANDOM_FOR_PROGRAM);
	given_to_program = true;
}

/* The half of the VMM's seed that was not given to the program, and as much from the CPU, or from
 * the host where the CPU has none. */
static void seed(void)
{
	uint64_t more[2];
	static_assert(sizeof(generator.key) - RANDOM_FOR_PROGRAM == sizeof(more), "halves");

	if (!arch_random(&more[0]) || !arch_random(&more[1])) {
		static uint64_t of_host[2];

		host_entropy(of_host, sizeof(of_host));
		memcpy(more, of_host, sizeof(more));
		erase(of_host, sizeof(of_host));
	}
	memcpy(generator.key, bootinfo.seed + RANDOM_FOR_PROGRAM, RANDOM_FOR_PROGRAM);
	memcpy((uint8_t *)generator.key + RANDOM_FOR_PROGRAM, more, sizeof(more));
	erase(bootinfo.seed, sizeof(bootinfo.seed));
	generator.seeded = true;
}

/* Change the generator's key, and give a key for one stream. */
static void next_key(uint32_t key[CHACHA20_KEY_WORDS])
{
	uint32_t block[CHACHA20_BLOCK_WORDS];

	if (!generator.seeded)
		seed();
	chacha20_block(generator.key, 0, nonce, block);
	memcpy(generator.key, block, sizeof(generator.key));
	memcpy(key, block + CHACHA20_KEY_WORDS, sizeof(generator.key));
	erase(block, sizeof(block));
}

int random_read(struct io *io)
{
	uint32_t key[CHACHA20_KEY_WORDS];
	uint32_t block[CHACHA20_BLOCK_WORDS];
	int error = 0;

	for (uint32_t counter = 0; io->remaining > 0 && error == 0; counter++) {
		if (counter % BLOCKS_PER_KEY == 0)
			next_key(key);
		chacha20_block(key, counter, nonce, block);
		error = io_put(io, block, io->remaining < BLOCK_SIZE ? io->remaining : BLOCK_SIZE);
	}
	erase(key, sizeof(key));
	erase(block, sizeof(block));
	return error;
}

void random_fill(void *to, size_t length)
{
	struct iovec segment = {(uintptr_t)to, length};
	struct io io = io_kernel(&segment);

	random_read(&io);
}
