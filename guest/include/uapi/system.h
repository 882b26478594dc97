/* uname(2), sysinfo(2), limits, usage, clocks, prctl(2). */
#ifndef UAPI_SYSTEM_H
#define UAPI_SYSTEM_H

#include <uapi/types.h>

#define UTS_LENGTH 65

struct utsname {
	char sysname[UTS_LENGTH];
	char nodename[UTS_LENGTH];
	char release[UTS_LENGTH];
	char version[UTS_LENGTH];
	char machine[UTS_LENGTH];
	char domainname[UTS_LENGTH];
};

struct sysinfo {
	int64_t uptime;
	uint64_t loads[3];
	uint64_t totalram;
	uint64_t freeram;
	uint64_t sharedram;
	uint64_t bufferram;
	uint64_t totalswap;
	uint64_t freeswap;
	uint16_t procs;
	uint64_t totalhigh;
	uint64_t freehigh;
	uint32_t mem_unit;
};
static_assert(sizeof(struct sysinfo) == 112, "Linux");

struct rlimit {
	uint64_t rlim_cur;
	uint64_t rlim_max;
};

#define RLIM_INFINITY UINT64_MAX
#define RLIMIT_STACK 3
#define RLIMIT_CORE 4
#define RLIMIT_NOFILE 7
#define RLIMIT_MEMLOCK 8
#define RLIMIT_NICE 13
#define RLIM_NLIMITS 16

struct rusage {
	struct timeval ru_utime;
	struct timeval ru_stime;
	int64_t ru_other[14];
};
static_assert(sizeof(struct rusage) == 144, "Linux");

#define RUSAGE_CHILDREN (-1)
#define RUSAGE_SELF 0
#define RUSAGE_THREAD 1

struct tms {
	int64_t tms_utime;
	int64_t tms_stime;
	int64_t tms_cutime;
	int64_t tms_cstime;
};

#define CLOCKS_PER_SECOND 100 /* AT_CLKTCK */

#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCK_PROCESS_CPUTIME_ID 2
#define CLOCK_THREAD_CPUTIME_ID 3
#define CLOCK_MONOTONIC_RAW 4
#define CLOCK_REALTIME_COARSE 5
#define CLOCK_MONOTONIC_COARSE 6
#define CLOCK_BOOTTIME 7
#define CLOCK_REALTIME_ALARM 8
#define CLOCK_BOOTTIME_ALARM 9
#define CLOCK_TAI 11

#define TIMER_ABSTIME 1

struct itimerspec {
	struct timespec it_interval;
	struct timespec it_value;
};

struct itimerval {
	struct timeval it_interval;
	struct timeval it_value;
};

#define ITIMER_REAL 0
#define ITIMER_VIRTUAL 1
#define ITIMER_PROF 2
#define ITIMER_COUNT 3

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_REQUEUE 3
#define FUTEX_CMP_REQUEUE 4
#define FUTEX_WAKE_OP 5
#define FUTEX_LOCK_PI 6
#define FUTEX_UNLOCK_PI 7
#define FUTEX_TRYLOCK_PI 8
#define FUTEX_WAIT_BITSET 9
#define FUTEX_WAKE_BITSET 10
#define FUTEX_LOCK_PI2 13
#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_CLOCK_REALTIME 256

#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu

#define FUTEX_WAITV_MAX 128
#define FUTEX2_SIZE_U32 2

struct futex_waitv {
	uint64_t value;
	user_t word;
	uint32_t flags;
	uint32_t reserved;
};
static_assert(sizeof(struct futex_waitv) == 24, "Linux");

#define GRND_NONBLOCK 1
#define GRND_RANDOM 2
#define GRND_INSECURE 4

#define CAP_LAST_CAP 40

#define PER_MASK 0xff
#define PER_LINUX32 8

#define PR_SET_PDEATHSIG 1
#define PR_GET_DUMPABLE 3
#define PR_SET_DUMPABLE 4
#define PR_SET_NAME 15
#define PR_GET_NAME 16
#define PR_GET_SECCOMP 21
#define PR_CAPBSET_READ 23
#define PR_SET_NO_NEW_PRIVS 38
#define PR_GET_NO_NEW_PRIVS 39
#define PR_SET_THP_DISABLE 41
#define PR_GET_THP_DISABLE 42

#define TASK_NAME_LENGTH 16 /* with the NUL */

#endif
