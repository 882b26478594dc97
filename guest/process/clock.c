/* Clocks as the program names them. */
#include <calypso/time.h>
#include <process/clock.h>
#include <process/process.h>

/* Numbers below 0 name clocks of a process or thread: the complement of its id from bit 3 on, then
 * this bit for a thread, and which of its times in the two others. */
#define OF_THREAD (1 << 2)
#define KIND_MASK 3
#define KIND_COUNT 3

static bool find_dynamic(int number, struct clock *clock)
{
	int id = ~(number >> 3);
	if ((number & KIND_MASK) == KIND_COUNT)
		return false;
	*clock = (struct clock){CLOCK_OF_PROCESS, 0};
	if ((number & OF_THREAD) == 0)
		return id == 0 || id == PROCESS_ID;
	*clock = (struct clock){CLOCK_OF_THREAD, id == 0 ? current_thread->id : id};
	return thread_find(clock->thread) != NULL;
}

bool clock_find(int number, struct clock *clock)
{
	switch (number) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI:
		clock->kind = CLOCK_OF_WALL;
		return true;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		clock->kind = CLOCK_OF_MACHINE;
		return true;
	case CLOCK_PROCESS_CPUTIME_ID:
		clock->kind = CLOCK_OF_PROCESS;
		return true;
	case CLOCK_THREAD_CPUTIME_ID:
		*clock = (struct clock){CLOCK_OF_THREAD, current_thread->id};
		return true;
	default:
		return number < 0 && find_dynamic(number, clock);
	}
}

bool clock_read(const struct clock *clock, uint64_t *now)
{
	const struct thread *thread;
	switch (clock->kind) {
	case CLOCK_OF_WALL:
		*now = time_realtime();
		return true;
	case CLOCK_OF_MACHINE:
		*now = time_monotonic();
		return true;
	case CLOCK_OF_PROCESS:
		thread_charge();
		*now = process.cpu_time;
		return true;
	case CLOCK_OF_THREAD:
		thread_charge();
		thread = thread_find(clock->thread);
		*now = thread == NULL ? 0 : thread->cpu_time;
		return thread != NULL;
	}
	return false;
}
