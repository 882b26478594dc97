/* The random number generator.
 *
 * Every request takes a fresh key from the first block of the key stream and erases the old one
 * before it gives out what follows, so that what was given out cannot be computed again later.
 */
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/chacha20.h>
#include <calypso/host.h>
#include <calypso/hwrng.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <process/random.h>

#define KEY_SIZE (CHACHA20_KEY_WORDS * sizeof(uint32_t))
#define BLOCK_SIZE (CHACHA20_BLOCK_WORDS * sizeof(uint32_t))

/* A generator's state lasts for this many blocks of one request. */
#define BLOCKS_PER_KEY 256

/* After so many keys the sources are mixed in again. */
#define KEYS_PER_SEED 1024

static const uint32_t nonce[CHACHA20_NONCE_WORDS];

static struct {
	bool seeded;
	bool forced; /* by random.seed */
	bool trusted;
	unsigned keys_left; /* until the sources are mixed in again */
	uint64_t generation;
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

static bool is_forced(void)
{
	const char *value;
	return command_line_find("random.seed", &value) >= 0;
}

static struct calypso_generation *generation(void)
{
	return phys_to_virt(bootinfo.generation);
}

/* Whether the machine was restored or copied since the key was mixed: others have the same key. */
static bool is_restored(void)
{
	return bootinfo_has(CALYPSO_FEATURE_GENERATION) &&
	       __atomic_load_n(&generation()->number, __ATOMIC_ACQUIRE) != generator.generation;
}

void random_for_program(uint8_t bytes[RANDOM_FOR_PROGRAM])
{
	if (given_to_program || is_forced() || is_restored()) {
		random_fill(bytes, RANDOM_FOR_PROGRAM);
		return;
	}
	memcpy(bytes, bootinfo.seed, RANDOM_FOR_PROGRAM);
	erase(bootinfo.seed, RANDOM_FOR_PROGRAM);
	given_to_program = true;
}

/* ---- Sources: each fills a key's length, or says that it cannot ---- */

/* Each seed serves once. */
static bool take_seed(uint64_t words[KEY_SIZE / 8], uint8_t seed[KEY_SIZE])
{
	uint64_t any = 0;
	memcpy(words, seed, KEY_SIZE);
	erase(seed, KEY_SIZE);
	for (unsigned i = 0; i < KEY_SIZE / 8; i++)
		any |= words[i];
	return any != 0;
}

static bool ask_vmm(uint64_t words[KEY_SIZE / 8])
{
	return take_seed(words, bootinfo.seed);
}

static bool ask_generation(uint64_t words[KEY_SIZE / 8])
{
	generator.generation = __atomic_load_n(&generation()->number, __ATOMIC_ACQUIRE);
	return take_seed(words, generation()->seed);
}

static bool ask_processor(uint64_t words[KEY_SIZE / 8])
{
	for (unsigned i = 0; i < KEY_SIZE / 8; i++) {
		if (!arch_random(&words[i]))
			return false;
	}
	return true;
}

static bool ask_host(uint64_t words[KEY_SIZE / 8])
{
	static uint64_t of_host[KEY_SIZE / 8]; /* the host reads the image, not stacks */
	bool filled = host_entropy(of_host, KEY_SIZE) == (int64_t)KEY_SIZE;
	memcpy(words, of_host, KEY_SIZE);
	erase(of_host, KEY_SIZE);
	return filled;
}

static bool ask_device(uint64_t words[KEY_SIZE / 8])
{
	for (unsigned i = 0; i < KEY_SIZE / 8; i++) {
		if (hwrng_read(&words[i]) != 0)
			return false;
	}
	return true;
}

/* Mix a source into the key; whether it had anything. */
static bool mix(bool (*ask)(uint64_t words[KEY_SIZE / 8]))
{
	uint64_t words[KEY_SIZE / 8];
	uint32_t halves[CHACHA20_KEY_WORDS];
	uint32_t block[CHACHA20_BLOCK_WORDS];
	bool filled = ask(words);
	if (filled) {
		memcpy(halves, words, sizeof(halves));
		for (unsigned i = 0; i < CHACHA20_KEY_WORDS; i++)
			generator.key[i] ^= halves[i];
		chacha20_block(generator.key, 0, nonce, block);
		memcpy(generator.key, block, sizeof(generator.key));
	}
	erase(words, sizeof(words));
	erase(halves, sizeof(halves));
	erase(block, sizeof(block));
	return filled;
}

/* ---- The key ---- */

static void force_seed(void)
{
	uint64_t number = command_line_number("random.seed", 0);
	memcpy(generator.key, &number, sizeof(number));
	generator.forced = true;
	log_warning("random: the seed is forced: numbers are the same in each run");
}

/* At first one source besides the VMM's seed will do, and the device, which is slow, waits for the
 * next time. A forced seed is kept to as long as the machine is the only one. */
static void seed(void)
{
	bool first = !generator.seeded;
	generator.seeded = true;
	generator.keys_left = KEYS_PER_SEED;
	if (first && is_forced())
		force_seed();
	bool found = is_restored() && mix(ask_generation);
	if (generator.forced)
		return;
	found |= first && mix(ask_vmm);
	bool second = mix(ask_processor) || mix(ask_host);
	if (!first || !second)
		second |= mix(ask_device);
	generator.trusted |= found || second;
	if (!generator.trusted)
		log_error("random: there is no source of random numbers");
}

bool random_is_trusted(void)
{
	if (!generator.seeded)
		seed();
	return generator.trusted || command_line_number("random.insecure", 0) != 0;
}

/* Change the generator's key, and give a key for one stream. */
static void next_key(uint32_t key[CHACHA20_KEY_WORDS])
{
	uint32_t block[CHACHA20_BLOCK_WORDS];

	if (generator.keys_left == 0 || is_restored())
		seed();
	generator.keys_left--;
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
	struct io io = io_kernel(to, length);

	random_read(&io);
}
