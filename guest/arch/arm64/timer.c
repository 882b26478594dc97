/* arm64: the virtual timer, which compares the counter of `arch_counter` (Arm ARM, D12.2). */
#include <arch/irq.h>
#include <arch/registers.h>
#include <calypso/arch.h>
#include <calypso/time.h>

#define CNTV_CTL_ENABLE 1

void arch_timer_start(uint64_t delay)
{
	uint64_t hz = read_register("cntfrq_el0");
	uint64_t ticks = delay / NANOSECONDS_PER_SECOND * hz +
			 delay % NANOSECONDS_PER_SECOND * hz / NANOSECONDS_PER_SECOND;

	write_register("cntv_cval_el0", arch_counter() + ticks);
	write_register("cntv_ctl_el0", CNTV_CTL_ENABLE);
	__asm__ volatile("isb" ::: "memory");
}

void timer_interrupt(void)
{
	write_register("cntv_ctl_el0", 0);
	time_alarm_expired();
}
