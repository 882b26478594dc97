/* x86_64: random numbers of the processor (RDRAND; SDM volume 1, 7.3.17). */
#include <arch/x86.h>
#include <calypso/arch.h>

enum { UNKNOWN, ABSENT, PRESENT };

static int rdrand;

bool arch_random(uint64_t *value)
{
	/* "A retry limit of 10": then the generator is broken, not busy. */
	const int attempts = 10;

	if (rdrand == UNKNOWN)
		rdrand = (read_cpuid(1, 0).ecx >> 30 & 1) ? PRESENT : ABSENT;
	if (rdrand == ABSENT)
		return false;
	for (int i = 0; i < attempts; i++) {
		bool good;

		__asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(good));
		if (good)
			return true;
	}
	return false;
}
