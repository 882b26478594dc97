/* A kernel for tests: the lower half, and in place of a program one experiment, chosen by `test=`
 * on the command line. Each ends the machine with a panic that says what happened, or with exit
 * status 0. */
#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/bootinfo.h>
#include <calypso/console.h>
#include <calypso/device.h>
#include <calypso/errno.h>
#include <calypso/host.h>
#include <calypso/irq.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <calypso/serial.h>
#include <calypso/time.h>
#include <calypso/user.h>

#include "experiments.h"

#define UNMAPPED (DIRECT_MAP_BASE + DIRECT_MAP_SIZE / 2)

static const char constant[] = "read only";
static char variable[16];

noreturn void pass(void)
{
	host_exit(0, CALYPSO_EXIT_PROGRAM, NULL);
}

/* A pointer that the compiler knows nothing about. */
static volatile char *at(uint64_t address)
{
	return (volatile char *)(uintptr_t)address;
}

static void jump(uint64_t address)
{
	((void (*)(void))(uintptr_t)address)();
}

static void write_page_zero(void) { *at(0x10) = 1; }
static void read_unmapped(void) { (void)*at(UNMAPPED); }
static void write_text(void) { *at((uintptr_t)program_start) = 1; }
static void write_rodata(void) { *at((uintptr_t)constant) = 1; }
static void execute_data(void) { jump((uintptr_t)variable); }
static void execute_rodata(void) { jump((uintptr_t)constant); }
static void panic_on_purpose(void) { panic("%s is %d", "the answer", 42); }

static void overflow_stack(void) { recurse(INT32_MAX); }

/* Take all memory, frame by frame, write to each, and see whether it comes back. */
static void use_all_memory(void)
{
	struct frame_statistics before = frame_statistics();
	physical_t *taken = NULL;
	uint64_t count = 0;

	for (;; count++) {
		physical_t frame = frame_allocate(0, FRAME_ZEROED);

		if (frame == FRAME_NONE)
			break;
		physical_t *link = phys_to_virt(frame);
		if (link[0] != 0 || link[PAGE_SIZE / sizeof(*link) - 1] != 0)
			panic("frame 0x%lx is not zero", frame);
		link[0] = taken ? virt_to_phys(taken) : FRAME_NONE;
		link[PAGE_SIZE / sizeof(*link) - 1] = frame;
		taken = link;
	}
	struct frame_statistics after = frame_statistics();
	if (after.used != after.total)
		panic("%lu of %lu frames could not be had", after.total - after.used, after.total);
	for (uint64_t i = 0; i < count; i++) {
		physical_t frame = virt_to_phys(taken);
		physical_t next = taken[0];

		if (taken[PAGE_SIZE / sizeof(*taken) - 1] != frame)
			panic("frame 0x%lx has changed", frame);
		frame_free(frame, 0);
		taken = next == FRAME_NONE ? NULL : phys_to_virt(next);
	}
	/* Page tables for the last of it may have been made. */
	if (frame_statistics().used > before.used + 2)
		panic("%lu frames are lost", frame_statistics().used - before.used);
	log_info("%lu frames", count);
	pass();
}

static void copy_from_nowhere(void)
{
	char buffer[64];

	if (user_copy_in(buffer, 0x10000, sizeof(buffer)) != -EFAULT ||
	    user_copy_out(0x10000, buffer, 1) != -EFAULT || user_clear(0x10000, 33) != -EFAULT ||
	    user_string(buffer, 0x10000, sizeof(buffer)) != -EFAULT)
		panic("a copy from nowhere has worked");
	if (user_copy_in(buffer, (uintptr_t)constant, 1) != -EFAULT ||
	    user_copy_in(buffer, USER_END - 1, 2) != -EFAULT ||
	    user_copy_out(UINT64_MAX, buffer, 8) != -EFAULT ||
	    user_string(buffer, (uintptr_t)constant, 4) != -EFAULT)
		panic("the kernel's half is not refused");
	pass();
}

/* Copies of all lengths and alignments, across two pages of which the third is missing. */
static void copy_pages(void)
{
	static char pattern[64], back[64];
	user_t end = 0x20000 + 2 * PAGE_SIZE;

	space_map(0x20000, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0);
	for (unsigned i = 0; i < sizeof(pattern); i++)
		pattern[i] = (char)(i + 1);
	for (unsigned length = 0; length <= sizeof(pattern); length++)
		for (unsigned skew = 0; skew < 16; skew++) {
			user_t where = 0x20000 + PAGE_SIZE - length / 2 - skew;

			if (user_clear(where, length) || user_copy_out(where, pattern, length))
				panic("copy of %u bytes to 0x%lx", length, where);
			memset(back, 0, sizeof(back));
			if (user_copy_in(back, where, length) ||
			    memcmp(back, pattern, length) != 0)
				panic("copy of %u bytes from 0x%lx", length, where);
		}
	for (unsigned length = 1; length <= sizeof(pattern); length++)
		if (user_copy_out(end - length + 1, pattern, length) != -EFAULT ||
		    user_copy_in(back, end - length + 1, length) != -EFAULT ||
		    user_clear(end - length + 1, length) != -EFAULT)
			panic("%u bytes go past the end", length);
	user_copy_out(end - 6, "hello", 6);
	if (user_string(back, end - 6, 64) != 5 || strcmp(back, "hello") != 0 ||
	    user_string(back, end - 6, 5) != -ENAMETOOLONG ||
	    user_string(back, end - 6, 6) != 5)
		panic("a string at the end");
	user_copy_out(end - 6, "hello!", 6);
	if (user_string(back, end - 6, 64) != -EFAULT)
		panic("a string without an end");
	pass();
}

static void respect_protection(void)
{
	char byte = 7;

	space_map(0x20000, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0);
	if (user_copy_in(&byte, 0x20000, 1) || byte != 0)
		panic("a readable page cannot be read");
	if (user_copy_out(0x20000, &byte, 1) != -EFAULT)
		panic("the kernel writes where the program may not");
	space_protect(0x20000, PAGE_SIZE, PROT_NONE);
	if (user_copy_in(&byte, 0x20000, 1) != -EFAULT)
		panic("the kernel reads where the program may not");
	pass();
}

static void map_device(void)
{
	/* Nothing is there: reads of the bus give all ones. */
	const physical_t nowhere = 1ull << 38 | 0xd0000000;

	if (device_map(nowhere, 8) || device_map(nowhere + 8, PAGE_SIZE))
		panic("device registers cannot be mapped");
	if (device_map(UINT64_MAX - PAGE_SIZE, 2 * PAGE_SIZE) != -EINVAL ||
	    device_map(0, 0) != -EINVAL)
		panic("an impossible range was mapped");
	*at((uintptr_t)variable) = *at((uintptr_t)phys_to_virt(nowhere));
	pass();
}

static void tell_time(void)
{
	uint64_t before = time_monotonic(), wall = time_realtime(), previous = before;

	for (int i = 0; i < 1000; i++) {
		uint64_t now = time_monotonic();

		if (now < previous)
			panic("time went back from %lu to %lu", previous, now);
		previous = now;
	}
	/* Each wait may be early. */
	while (time_monotonic() < before + 20000000)
		time_idle(before + 20000000);
	uint64_t passed = time_monotonic() - before;
	log_info("passed %lu wall %lu", passed, wall);
	if (passed > 5 * NANOSECONDS_PER_SECOND)
		panic("a wait of 20 ms took %lu ns", passed);
	if (wall < 1600000000 * NANOSECONDS_PER_SECOND)
		panic("the wall clock says %lu", wall);
	pass();
}

static void echo(void)
{
	static char buffer[64];
	int64_t length;

	console_write(CONSOLE_OUTPUT, "ready\n", 6);
	while ((length = console_read(buffer, sizeof(buffer))) == -EAGAIN)
		time_idle(TIME_FOREVER);
	console_write(CONSOLE_ERROR, buffer, length > 0 ? (size_t)length : 0);
	pass();
}

static void receive(void *received)
{
	*(volatile uint8_t *)received = arch_port_read(bootinfo.console);
}

/* The serial port interrupts for what comes in: on `line=`, once the byte `enable=` has been written
 * to its register `enable-at=`. The first byte is there before that, and read without. */
static void interrupt(void)
{
	const struct serial_port *port = serial_find();
	char first;
	uint8_t received = 0;

	while (serial_read(port, &first, 1) != 1)
		time_idle(TIME_FOREVER);
	if (irq_register(UINT32_MAX, receive, &received) != -EINVAL)
		panic("a line that cannot be");
	if (irq_register((unsigned)command_line_number("line", 0), receive, &received) != 0)
		panic("the line is refused");
	arch_port_write(bootinfo.console + command_line_number("enable-at", 0),
			(uint8_t)command_line_number("enable", 0));
	while (*(volatile uint8_t *)&received == 0)
		time_idle(TIME_FOREVER);
	if (received != 'x')
		panic("received 0x%02x", received);
	pass();
}

/* The VMM tells of no interrupt controller. */
static void no_controller(void)
{
	int error = irq_initialize();

	if (error != -ENODEV)
		panic("irq_initialize: %d", error);
	pass();
}

static void enter_user_at(uint64_t pc)
{
	arch_enter_user(pc, 0x8000, auxsp_of(auxspcb_make(&boot_stack)));
}

static void enter_nothing(void) { enter_user_at(0x400000); }
static void enter_kernel(void) { enter_user_at((uintptr_t)program_start); }
static void enter_hole(void) { enter_user_at(0x8000000000000000); }

static const struct {
	const char *name;
	void (*run)(void);
} experiments[] = {
	{"write-page-zero", write_page_zero},
	{"read-unmapped", read_unmapped},
	{"write-text", write_text},
	{"write-rodata", write_rodata},
	{"execute-data", execute_data},
	{"execute-rodata", execute_rodata},
	{"overflow-stack", overflow_stack},
	{"panic", panic_on_purpose},
	{"pass", pass},
	{"use-all-memory", use_all_memory},
	{"copy-from-nowhere", copy_from_nowhere},
	{"copy-pages", copy_pages},
	{"respect-protection", respect_protection},
	{"map-device", map_device},
	{"tell-time", tell_time},
	{"echo", echo},
	{"interrupt", interrupt},
	{"no-controller", no_controller},
	{"enter-nothing", enter_nothing},
	{"enter-kernel", enter_kernel},
	{"enter-hole", enter_hole},
	{"stack-grows", stack_grows},
	{"stack-modes", stack_modes},
	{"overflow-thread", overflow_thread},
	{"underflow-thread", underflow_thread},
	{"smash-stack", smash_stack},
	{"exhaust-stacks", exhaust_stacks},
	{"nest-faults", nest_faults},
};

/* Before the kernel's tables are in use, where the stack's guard must be, too. */
static void overflow_boot_stack(void) { recurse(INT32_MAX); }

noreturn void program_start(void)
{
	if (command_line_is("test", "overflow-boot-stack"))
		overflow_boot_stack();
	paging_activate();
	for (unsigned i = 0; i < ARRAY_SIZE(experiments); i++)
		if (command_line_is("test", experiments[i].name))
			experiments[i].run();
	panic("the experiment has no end, or no such name: \"%s\"", command_line());
}

void syscall_dispatch(struct trap_frame *frame)
{
	panic_at(frame, "system call %lu", frame_syscall_number(frame));
}

void interrupt_return(struct trap_frame *frame)
{
	panic_at(frame, "interrupt of a program");
}

void program_fault(struct trap_frame *frame, enum fault_reason reason, user_t address)
{
	panic_at(frame, "program fault %d at 0x%016lx", reason, address);
}
