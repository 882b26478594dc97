/* arm64: random numbers of the processor (FEAT_RNG). */
#include <calypso/arch.h>

bool arch_random(uint64_t *value)
{
	uint64_t features, good;

	__asm__("mrs %0, id_aa64isar0_el1" : "=r"(features));
	if (features >> 60 == 0)
		return false;
	/* RNDRRS, which is seeded anew for it, by its encoding; Z is set where no number came in
	 * time. */
	__asm__ volatile("mrs %0, s3_3_c2_c4_1; cset %1, ne"
			 : "=r"(*value), "=r"(good)::"cc");
	if (good != 0)
		return true;
	__asm__ volatile("mrs %0, s3_3_c2_c4_0; cset %1, ne" /* RNDR */
			 : "=r"(*value), "=r"(good)::"cc");
	return good != 0;
}
