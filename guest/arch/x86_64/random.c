/* x86_64: random numbers of the processor (RDSEED and RDRAND; SDM volume 1, 7.3.17). */
#include <arch/x86.h>
#include <calypso/arch.h>

/* "A retry limit of 10": then the generator is broken, not busy. */
#define ATTEMPTS 10

static struct {
	bool known, has_rdseed, has_rdrand;
} processor;

static void look(void)
{
	processor.has_rdrand = read_cpuid(1, 0).ecx >> 30 & 1;
	processor.has_rdseed = read_cpuid(0, 0).eax >= 7 && (read_cpuid(7, 0).ebx >> 18 & 1);
	processor.known = true;
}

static bool rdseed(uint64_t *value)
{
	bool good;
	__asm__ volatile("rdseed %0" : "=r"(*value), "=@ccc"(good));
	return good;
}

static bool rdrand(uint64_t *value)
{
	bool good = false;
	for (int i = 0; i < ATTEMPTS && !good; i++)
		__asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(good));
	return good;
}

bool arch_random(uint64_t *value)
{
	if (!processor.known)
		look();
	/* The source itself is soon empty; what it has seeded is not. */
	return (processor.has_rdseed && rdseed(value)) || (processor.has_rdrand && rdrand(value));
}
