/* The registers of AVX and AVX-512: kept through system calls, page faults, other threads' turns and
 * signal handlers, which see them in their frame. Where there is no AVX, that is all it says.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static int is_in_cpuinfo(const char *feature)
{
	static char line[8192];
	int found = 0;
	FILE *file = fopen("/proc/cpuinfo", "r");
	while (fgets(line, sizeof(line), file) != NULL)
		found |= strstr(line, feature) != NULL;
	fclose(file);
	return found;
}

static int tell_that_there_is_none(void)
{
	printf("no AVX%s\n", is_in_cpuinfo(" avx ") ? ", but in /proc/cpuinfo" : "");
	return 0;
}

#ifdef __x86_64__
#include <cpuid.h>

#define AT_MINSIGSTKSZ 51
#define STATE_AVX 0x06u
#define STATE_AVX512 0xe6u

/* All of the wide registers: 16 of 32 bytes, or 32 of 64. */
union registers {
	uint8_t ymm[16][32];
	uint8_t zmm[32][64];
};

static int has_avx512;

static uint32_t enabled_state(void)
{
	uint32_t eax, ebx, ecx, edx;
	const uint32_t avx_and_osxsave = 1u << 28 | 1u << 27;
	__cpuid(1, eax, ebx, ecx, edx);
	if ((ecx & avx_and_osxsave) != avx_and_osxsave)
		return 0;
	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax;
}

/* ---- Holding values in registers ---- */

#define EACH16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define EACH32(X) EACH16(X) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) \
		X(28) X(29) X(30) X(31)
#define LOAD_YMM(n) "vmovdqu 32*" #n "(%[in]), %%ymm" #n "\n"
#define STORE_YMM(n) "vmovdqu %%ymm" #n ", 32*" #n "(%[out])\n"
#define LOAD_ZMM(n) "vmovdqu64 64*" #n "(%[in]), %%zmm" #n "\n"
#define STORE_ZMM(n) "vmovdqu64 %%zmm" #n ", 64*" #n "(%[out])\n"

/* Between loading and storing, make a system call, write to a page, turn round for a while. */
#define HOLD(load, store)                                                                    \
	long call_ = call;                                                                   \
	__asm__ volatile(load "syscall\n"                                                    \
			      "movb $1, (%[page])\n"                                         \
			      "1: dec %[turns]\n"                                            \
			      "jnz 1b\n" store                                               \
			 : "+a"(call_), [turns] "+r"(turns)                                  \
			 : [in] "r"(in), [out] "r"(out), [page] "r"(page)                    \
			 : "rcx", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3",     \
			   "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
			   "xmm12", "xmm13", "xmm14", "xmm15")

static void hold(const union registers *in, union registers *out, long call, char *page, long turns)
{
	if (has_avx512) {
		HOLD(EACH32(LOAD_ZMM), EACH32(STORE_ZMM));
	} else {
		HOLD(EACH16(LOAD_YMM), EACH16(STORE_YMM));
	}
}

static void fill(union registers *registers, int seed)
{
	memset(registers, 0, sizeof(*registers));
	for (size_t i = 0; i < (has_avx512 ? sizeof(registers->zmm) : sizeof(registers->ymm)); i++)
		registers->zmm[i / 64][i % 64] = (uint8_t)(seed * 31 + i * 7 + i / 32);
}

/* How many bytes are not what they were. */
static int lost(const union registers *before, const union registers *after)
{
	int count = 0;
	for (size_t i = 0; i < sizeof(*before); i++)
		count += before->zmm[i / 64][i % 64] != after->zmm[i / 64][i % 64];
	return count;
}

static void calls(void)
{
	union registers before, after = {0};
	int wrong = 0;
	char *pages = mmap(NULL, 100 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 100; i++) {
		fill(&before, i);
		hold(&before, &after, SYS_sched_yield, pages + i * 4096, 1);
		wrong += lost(&before, &after);
	}
	printf("system calls and page faults: %d lost\n", wrong);
}

/* ---- Threads ---- */

#define THREADS 4

static volatile int finished;

struct holder {
	pthread_t thread;
	int seed, holds, wrong;
};

static void *hold_on(void *argument)
{
	struct holder *holder = argument;
	union registers before, after = {0};
	char byte;
	do {
		fill(&before, holder->seed + holder->holds);
		hold(&before, &after, holder->seed % 2 ? SYS_getppid : SYS_sched_yield, &byte, 100000);
		holder->wrong += lost(&before, &after);
		holder->holds++;
	} while (!finished);
	return NULL;
}

static void threads(void)
{
	struct holder holders[THREADS];
	for (int i = 0; i < THREADS; i++) {
		holders[i] = (struct holder){.seed = 50 * i + i};
		pthread_create(&holders[i].thread, NULL, hold_on, &holders[i]);
	}
	nanosleep(&(struct timespec){0, 200000000}, NULL);
	finished = 1;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(holders[i].thread, NULL);
		printf("thread %d: %d lost\n", i, holders[i].wrong);
	}
}

/* ---- Signals ---- */

/* What the handler is to do with its frame. */
static enum { LOOK, CHANGE, UNMARK } task;

static union registers held; /* by what the handler interrupts */

struct frame_marks {
	uint32_t magic, extended_size;
	uint64_t components;
	uint32_t size;
};

static void clobber(void)
{
	if (has_avx512)
		__asm__ volatile("vpternlogd $0xff, %zmm20, %zmm20, %zmm20");
	__asm__ volatile("vpcmpeqd %%xmm3, %%xmm3, %%xmm3\nvinsertf128 $1, %%xmm3, %%ymm3, %%ymm3\n"
			 "vmovdqa %%ymm3, %%ymm9" ::: "xmm3", "xmm9");
}

static void handle(int signal, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;
	uint8_t *area = (uint8_t *)context->uc_mcontext.fpregs;
	struct frame_marks *marks = (struct frame_marks *)(area + 464);
	uint32_t size, offset, ecx, edx, end;
	(void)signal;
	clobber();
	mprotect(info->si_addr, 4096, PROT_READ | PROT_WRITE);
	__cpuid_count(0xd, 2, size, offset, ecx, edx);
	memcpy(&end, area + marks->size, sizeof(end));
	printf("frame: flag %d aligned %d marks %x %x, %d bytes of them, AVX %d\n",
	       (int)(context->uc_flags & 1), (uintptr_t)area % 64 == 0, marks->magic, end,
	       (int)(marks->extended_size - marks->size), (int)(marks->components >> 2 & 1));
	uintptr_t top = context->uc_mcontext.gregs[REG_RSP] - 128, bottom = (uintptr_t)context - 8;
	printf("AT_MINSIGSTKSZ is enough: %d\n", getauxval(AT_MINSIGSTKSZ) >= top - bottom);
	size_t width = has_avx512 ? 64 : 32;
	int upper = memcmp(area + offset + 16 * 5, held.ymm[0] + 5 * width + 16, 16);
	int lower = memcmp(area + 160 + 16 * 5, held.ymm[0] + 5 * width, 16);
	printf("register 5 in it: %s %s\n", lower ? "another" : "the same",
	       upper ? "another" : "the same");
	if (task == CHANGE)
		memset(area + offset + 16 * 7, 0x77, 16);
	if (task == UNMARK)
		marks->magic = 0;
}

/* By a signal while the registers are held: for a page that may not be written to. */
static void interrupted(const char *name, int what)
{
	union registers after = {0};
	size_t width = has_avx512 ? 64 : 32;
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	task = what;
	fill(&held, 3);
	hold(&held, &after, SYS_getppid, page, 1);
	int wrong = lost(&held, &after);
	const uint8_t *seventh = after.ymm[0] + 7 * width;
	printf("%s: %d lost; register 7: lower half %s, upper %02x\n", name, wrong,
	       memcmp(seventh, held.ymm[0] + 7 * width, 16) == 0 ? "the same" : "another",
	       what == LOOK ? 0 : seventh[16]);
}

static void nest(int signal)
{
	raise(signal);
}

/* Each frame is smaller than this stack, and two are not. */
static void overflow(void)
{
	size_t size = getauxval(AT_MINSIGSTKSZ) + 512;
	char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = {.ss_sp = memory + (1 << 20) - size, .ss_size = size};
	struct sigaction action = {.sa_handler = nest, .sa_flags = SA_ONSTACK | SA_NODEFER};
	sigaction(SIGUSR2, &action, NULL);
	sigaltstack(&stack, NULL);
	fflush(stdout);
	signal(SIGSEGV, SIG_DFL);
	raise(SIGUSR2);
	printf("the stack was large enough\n");
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
	uint32_t state = enabled_state();
	if ((state & STATE_AVX) != STATE_AVX)
		return tell_that_there_is_none();
	has_avx512 = (state & STATE_AVX512) == STATE_AVX512;
	printf("AVX%s\n", has_avx512 ? " and AVX-512" : "");
	printf("in /proc/cpuinfo: %d %d\n", is_in_cpuinfo(" avx "), is_in_cpuinfo(" avx512f "));
	sigaction(SIGSEGV, &action, NULL);
	calls();
	threads();
	interrupted("handler", LOOK);
	interrupted("changed frame", CHANGE);
	interrupted("frame without its mark", UNMARK);
	overflow();
	return 0;
}
#else
int main(void) { return tell_that_there_is_none(); }
#endif
