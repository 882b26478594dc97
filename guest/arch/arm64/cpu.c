/* arm64: system registers, set once at boot. */
#include <arch/mmu.h>
#include <arch/registers.h>
#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/errno.h>

/* SCTLR_EL1: what firmware/arm64/entry.S sets, and for the program: cache maintenance (UCI), cache
 * type (UCT), DC ZVA (DZE), WFE and WFI (nTWE, nTWI). */
#define SCTLR_FIRMWARE 0x30d0181dull
#define SCTLR_UCI (1ull << 26)
#define SCTLR_NTWE (1ull << 18)
#define SCTLR_NTWI (1ull << 16)
#define SCTLR_UCT (1ull << 15)
#define SCTLR_DZE (1ull << 14)

#define CPACR_FPEN (3ull << 20)	   /* floating point and SIMD at both levels */
#define CNTKCTL_EL0VCTEN (1ull << 1) /* the program may read the virtual counter */

extern const char trap_stubs[];
noreturn void enter_user(user_t pc, user_t sp, void *auxsp);

void arch_initialize(void)
{
	write_register("vbar_el1", (uintptr_t)trap_stubs);
	write_register("sctlr_el1", SCTLR_FIRMWARE | SCTLR_UCI | SCTLR_NTWE | SCTLR_NTWI |
					    SCTLR_UCT | SCTLR_DZE);
	write_register("cpacr_el1", CPACR_FPEN);
	write_register("cntkctl_el1", CNTKCTL_EL0VCTEN);
	__asm__ volatile("msr daifclr, #4; isb" ::: "memory"); /* SError is never a surprise */
}

void arch_set_auxsp(void *auxsp)
{
	(void)auxsp; /* is the stack pointer itself, once the thread has returned */
}

void arch_enter_user(user_t pc, user_t sp, void *auxsp)
{
	arch_switch_tables(paging_begin());
	enter_user(pc, sp, auxsp);
}

void arch_sync_code(const void *code, size_t length)
{
	/* CTR_EL0: log2 of the smallest lines, in words: instruction cache 3:0, data 19:16. */
	uint64_t type = read_register("ctr_el0");
	uint64_t data_line = 4ull << (type >> 16 & 0xf);
	uint64_t code_line = 4ull << (type & 0xf);
	uint64_t start = (uintptr_t)code, end = start + length;

	for (uint64_t at = ALIGN_DOWN(start, data_line); at < end; at += data_line)
		__asm__ volatile("dc cvau, %0" ::"r"(at) : "memory");
	__asm__ volatile("dsb ish" ::: "memory");
	for (uint64_t at = ALIGN_DOWN(start, code_line); at < end; at += code_line)
		__asm__ volatile("ic ivau, %0" ::"r"(at) : "memory");
	__asm__ volatile("dsb ish; isb" ::: "memory");
}

uint64_t arch_thread_pointer(void)
{
	return read_register("tpidr_el0");
}

void arch_set_thread_pointer(uint64_t pointer)
{
	write_register("tpidr_el0", pointer);
}

int64_t arch_prctl(uint64_t code, uint64_t address)
{
	(void)code, (void)address;
	return -EINVAL;
}

/* Where AT_HWCAP bits come from: a field of an ID register that is at least `least`. Which
 * registers and fields: Linux, Documentation/arch/arm64/elf_hwcaps.rst. */
struct capability {
	uint8_t bit;
	uint8_t shift;
	uint8_t least;
};

static uint64_t capabilities(uint64_t id, const struct capability *list, size_t count)
{
	uint64_t found = 0;

	for (size_t i = 0; i < count; i++)
		if ((id >> list[i].shift & 0xf) >= list[i].least)
			found |= 1ull << list[i].bit;
	return found;
}

uint64_t arch_hwcap(void)
{
	enum { FP, ASIMD, AES = 3, PMULL, SHA1, SHA2, CRC32, ATOMICS, FPHP, ASIMDHP };
	static const struct capability isar0[] = {
		{AES, 4, 1},   {PMULL, 4, 2},  {SHA1, 8, 1},
		{SHA2, 12, 1}, {CRC32, 16, 1}, {ATOMICS, 20, 2},
	};
	uint64_t features = read_register("id_aa64pfr0_el1");
	uint64_t found = capabilities(read_register("id_aa64isar0_el1"), isar0, ARRAY_SIZE(isar0));

	/* FP and AdvSIMD: 0 is there, 1 with half precision, 15 not there. */
	switch (features >> 16 & 0xf) {
	case 1:
		found |= 1u << FPHP | 1u << ASIMDHP;
		__attribute__((fallthrough));
	case 0:
		found |= 1u << FP | 1u << ASIMD;
	}
	return found;
}

uint64_t arch_hwcap2(void)
{
	return 0;
}

void arch_halt(void)
{
	for (;;)
		__asm__ volatile("msr daifset, #0xf; wfi");
}
