/* x86_64: descriptor tables, control registers and MSRs, set once at boot. */
#include <arch/mmu.h>
#include <arch/selectors.h>
#include <arch/vectors.h>
#include <arch/x86.h>
#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/errno.h>
#include <calypso/user.h>

/* Boot, which runs in ring 3, may use these ports: the doorbell and the serial ports are there. */
#define BOOT_PORTS 4096

/* 64-bit task state: only the stacks in it are used (SDM volume 3, 8.7). */
struct task_state {
	uint32_t reserved0;
	uint64_t rsp[3]; /* for traps from the program */
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_bitmap; /* offset of the ports below; beyond the limit: no ports */
	uint8_t denied_ports[BOOT_PORTS / 8];
	uint8_t end_of_ports; /* all ones */
} __attribute__((packed));

static_assert(offsetof(struct task_state, denied_ports) == 104, "SDM");

/* What entries from the program need. trap.S knows the offsets. */
struct lcpu {
	uint64_t auxsp;
	uint64_t user_stack; /* scratch, only while entering */
};

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

#define CODE64 0x00af9b000000ffffull
#define CODE32 0x00cf9b000000ffffull
#define DATA 0x00cf93000000ffffull
#define RING3 (3ull << 45)
#define AVAILABLE_TSS (0x89ull << 40)

static uint64_t segments[] = {
	[KERNEL_CS / 8] = CODE64,	 [KERNEL_SS / 8] = DATA,
	[USER_CS32 / 8] = CODE32 | RING3, [USER_SS / 8] = DATA | RING3,
	[USER_CS / 8] = CODE64 | RING3,	 [TSS_SELECTOR / 8] = AVAILABLE_TSS,
	[TSS_SELECTOR / 8 + 1] = 0,
};

/* Boot runs as a program does, and its stack is in use when it traps. What is in use of the emergency
 * stack then is its upper half. */
#define BOOT_AUXSP ((uintptr_t)emergency_stack_bottom + PAGE_SIZE)

static struct task_state task_state = {
	.rsp[0] = BOOT_AUXSP,
	.ist[0] = (uintptr_t)emergency_stack_top,
	.io_bitmap = offsetof(struct task_state, denied_ports),
	.end_of_ports = 0xff,
};
struct lcpu lcpu = {.auxsp = BOOT_AUXSP};

extern const char interrupt_table[];
extern const char syscall_entry[];
noreturn void enter_user(user_t pc, user_t sp, physical_t root);

static void load_segments(void)
{
	uint64_t base = (uintptr_t)&task_state;
	static const struct table_register gdt = {sizeof(segments) - 1, (uintptr_t)segments};

	segments[TSS_SELECTOR / 8] |= (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56 |
				      (sizeof(task_state) - 1);
	segments[TSS_SELECTOR / 8 + 1] = base >> 32;
	/* The VMM's selectors have the same numbers, so nothing needs to be loaded again. */
	__asm__ volatile("lgdt %0; ltr %w1" ::"m"(gdt), "r"(TSS_SELECTOR));
}

static void load_interrupt_table(void)
{
	static const struct table_register idt = {VECTORS * GATE_SIZE - 1, (uintptr_t)interrupt_table};

	__asm__ volatile("lidt %0" ::"m"(idt));
}

void arch_set_auxsp(void *auxsp)
{
	task_state.rsp[0] = (uintptr_t)auxsp;
	lcpu.auxsp = (uintptr_t)auxsp;
}

static void enable_syscalls(void)
{
	write_msr(MSR_EFER, EFER_SCE | EFER_NXE | EFER_LME | EFER_LMA);
	write_msr(MSR_STAR, (uint64_t)USER_CS32 << 48 | (uint64_t)KERNEL_CS << 32);
	write_msr(MSR_LSTAR, (uintptr_t)syscall_entry);
	write_msr(MSR_FMASK, RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT |
				     RFLAGS_RF | RFLAGS_AC);
}

static void enable_floating_point(void)
{
	uint64_t cr0 = CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_PE;

	__asm__ volatile("mov %0, %%cr0" ::"r"(cr0));
	fp_initialize();
}

void arch_initialize(void)
{
	load_segments();
	load_interrupt_table();
	enable_syscalls();
	enable_floating_point();
}

void arch_enter_user(user_t pc, user_t sp, void *auxsp)
{
	arch_set_auxsp(auxsp);
	task_state.io_bitmap = sizeof(task_state);
	enter_user(pc, sp, paging_begin().kernel);
}

bool arch_has_gigabyte_pages(void)
{
	/* CPUID 8000_0001h, EDX bit 26. */
	return (read_cpuid(0x80000001, 0).edx >> 26 & 1) != 0;
}

uint64_t arch_thread_pointer(void)
{
	return read_msr(MSR_FS_BASE);
}

void arch_set_thread_pointer(uint64_t pointer)
{
	write_msr(MSR_FS_BASE, pointer);
}

int64_t arch_prctl(uint64_t code, uint64_t address)
{
	enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS };
	uint32_t msr = code == ARCH_SET_GS || code == ARCH_GET_GS ? MSR_GS_BASE : MSR_FS_BASE;
	uint64_t value;

	switch (code) {
	case ARCH_SET_GS:
	case ARCH_SET_FS:
		if (address >= USER_END)
			return -EPERM;
		write_msr(msr, address);
		return 0;
	case ARCH_GET_GS:
	case ARCH_GET_FS:
		value = read_msr(msr);
		return user_put(address, &value);
	default:
		return -EINVAL;
	}
}

uint64_t arch_hwcap(void)
{
	return read_cpuid(1, 0).edx;
}

uint64_t arch_hwcap2(void)
{
	return 0; /* RDFSBASE and MWAIT in user mode: neither is enabled */
}

void arch_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}
