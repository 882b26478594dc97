/* x86_64: the local APIC's timer, which counts down once (SDM volume 3, 12.5.4). */
#include <arch/irq.h>
#include <calypso/arch.h>
#include <calypso/device.h>
#include <calypso/time.h>

#define LVT_TIMER 0x320
#define INITIAL_COUNT 0x380
#define DIVIDE_CONFIGURATION 0x3e0

#define DIVIDE_BY_16 3

/* Of KVM's local APIC, unless it is told otherwise, and of the VMM's. 32 bits of it last a minute.
 */
#define COUNTS_PER_SECOND (1000000000ull / 16)

void timer_initialize(void)
{
	device_write32(LOCAL_APIC + DIVIDE_CONFIGURATION, DIVIDE_BY_16);
	device_write32(LOCAL_APIC + LVT_TIMER, VECTOR_TIMER);
}

void arch_timer_start(uint64_t delay)
{
	const uint64_t longest = (UINT32_MAX * NANOSECONDS_PER_SECOND) / COUNTS_PER_SECOND;
	if (delay > longest)
		delay = longest;
	uint64_t count = delay * COUNTS_PER_SECOND / NANOSECONDS_PER_SECOND;
	/* 0 would stop it. */
	device_write32(LOCAL_APIC + INITIAL_COUNT, count == 0 ? 1 : (uint32_t)count);
}
