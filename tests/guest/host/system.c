/* The kernel's upper half in a process: a processor that never leaves the kernel, a host that is
 * the test, and the program's memory behind simulated page tables.
 */
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/console.h>
#include <calypso/device.h>
#include <calypso/fault.h>
#include <calypso/host.h>
#include <calypso/irq.h>
#include <calypso/lib.h>
#include <calypso/signal_frame.h>
#include <calypso/stack.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/ramfs/ramfs.h>
#include <mm/page_table.h>
#include <process/elf.h>
#include <process/syscall.h>

/* Where control goes when the kernel would enter the program or stop the machine. */
static void *way_out[5];

/* ---- What the test sees and sets ---- */

struct host_state {
	uint64_t entry, sp;	/* host_start: where the program would begin */
	int exit_status;	/* -1: it has not ended */
	int exit_reason;
	char message[1024];
	uint64_t time;		/* CLOCK_MONOTONIC; idling moves it to the deadline */
	uint64_t idles;
	uint32_t terminals;	/* bits 0 to 2: which of the streams are terminals */
	const uint8_t *input;	/* what console_read gives, then the end or -EAGAIN */
	size_t input_length;
	bool input_ends;
	size_t output_length[4];
	uint8_t output[4][1 << 16];
};

struct host_state host = {.exit_status = -1};

/* ---- The program's memory ---- */

/* The kernel's pointer to a byte of the program's, with the rights that the access needs. */
static uint8_t *reach(user_t address, unsigned access)
{
	if (address >= USER_END)
		return NULL;
	for (unsigned tries = 0; tries < 2; tries++) {
		pte_t *entry = user_entry(ALIGN_DOWN(address, PAGE_SIZE), false);
		bool good = entry && pte_is_present(*entry) &&
			    (access != PROT_WRITE || pte_is_writable(*entry));
		if (good)
			return (uint8_t *)phys_to_virt(pte_address(*entry)) + (address & PAGE_MASK);
		if (space_fault(address, access) != FAULT_RESOLVED)
			return NULL;
	}
	return NULL;
}

static size_t page_part(user_t address, size_t length)
{
	size_t left = PAGE_SIZE - (address & PAGE_MASK);
	return left < length ? left : length;
}

int user_copy_in(void *to, user_t from, size_t length)
{
	for (size_t part; length > 0; length -= part, from += part, to = (uint8_t *)to + part) {
		const uint8_t *at = reach(from, PROT_READ);
		if (at == NULL)
			return -EFAULT;
		part = page_part(from, length);
		memcpy(to, at, part);
	}
	return 0;
}

int user_copy_out(user_t to, const void *from, size_t length)
{
	for (size_t part; length > 0; length -= part, to += part, from = (uint8_t *)from + part) {
		uint8_t *at = reach(to, PROT_WRITE);
		if (at == NULL)
			return -EFAULT;
		part = page_part(to, length);
		memcpy(at, from, part);
	}
	return 0;
}

int user_clear(user_t to, size_t length)
{
	static const uint8_t zeros[PAGE_SIZE];
	for (size_t part; length > 0; length -= part, to += part) {
		part = page_part(to, length);
		if (user_copy_out(to, zeros, part) != 0)
			return -EFAULT;
	}
	return 0;
}

int64_t user_string(char *to, user_t from, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		const uint8_t *at = reach(from + i, PROT_READ);
		if (at == NULL)
			return -EFAULT;
		to[i] = (char)*at;
		if (to[i] == '\0')
			return (int64_t)i;
	}
	return -ENAMETOOLONG;
}

/* ---- The architecture ---- */

uint64_t arch_hwcap(void) { return 0x1234; }
uint64_t arch_hwcap2(void) { return 0x5678; }
size_t arch_signal_size(void) { return 0x9abc; }
int64_t arch_prctl(uint64_t code, uint64_t address)
{
	return code == 0 && address == 0 ? 0 : -EINVAL;
}
void arch_set_thread_pointer(uint64_t pointer) { (void)pointer; }
bool arch_random(uint64_t *value)
{
	*value = 0x0123456789abcdef;
	return true;
}
void arch_describe_processor(struct text *text) { (void)text; }
void arch_describe(const struct trap_frame *frame, struct text *text) { (void)frame, (void)text; }

/* The program has one thread, whose handlers do not run. */
static struct {
	struct auxspcb auxspcb;
	uint8_t fp_state[FXSAVE_SIZE];
} top __attribute__((aligned(16)));
struct stack boot_stack = {.top = (uintptr_t)(&top + 1)};
struct fp_format fp_format = {.size = FXSAVE_SIZE};
void arch_fp_reset(void) {}
struct stack *stack_allocate(const char *owner, int id)
{
	(void)owner, (void)id;
	return NULL;
}
void stack_free(struct stack *stack) { (void)stack; }
void arch_set_auxsp(void *auxsp) { (void)auxsp; }
void *arch_make_context(struct auxspcb *made) { return made; }
void *arch_make_kernel_context(struct auxspcb *made, void (*entry)(void))
{
	(void)entry;
	return made;
}
void arch_switch(void **save, void *context) { (void)save, (void)context; }
user_t arch_signal_room(const struct trap_frame *frame) { return frame_sp(frame); }
int arch_signal_enter(struct trap_frame *frame, const struct signal_delivery *delivery)
{
	(void)frame, (void)delivery;
	return 0;
}
int arch_signal_leave(struct trap_frame *frame, uint64_t *mask, struct sigaltstack *stack)
{
	(void)frame, (void)mask, (void)stack;
	return -EFAULT;
}

void arch_enter_user(user_t pc, user_t sp, void *auxsp)
{
	(void)auxsp;
	host.entry = pc;
	host.sp = sp;
	__builtin_longjmp(way_out, 1);
}

/* ---- The host ---- */

int64_t host_request(enum calypso_service service, uint64_t arguments[6])
{
	(void)service, (void)arguments;
	return -ENOSYS;
}

void host_exit(int status, enum calypso_exit_reason reason, const char *message)
{
	host.exit_status = status;
	host.exit_reason = reason;
	strlcpy(host.message, message == NULL ? "" : message, sizeof(host.message));
	__builtin_longjmp(way_out, 1);
}

int64_t host_entropy(void *buffer, size_t length)
{
	memset(buffer, 0x5a, length);
	return (int64_t)length;
}

int64_t console_write(enum console_stream stream, const void *buffer, size_t length)
{
	size_t *used = &host.output_length[stream];
	size_t room = sizeof(host.output[stream]) - *used;
	memcpy(host.output[stream] + *used, buffer, length < room ? length : room);
	*used += length < room ? length : room;
	return (int64_t)length;
}

int64_t console_read(void *buffer, size_t length)
{
	if (host.input_length == 0)
		return host.input_ends ? 0 : -EAGAIN;
	size_t count = length < host.input_length ? length : host.input_length;
	memcpy(buffer, host.input, count);
	host.input += count;
	host.input_length -= count;
	return (int64_t)count;
}

/* No device is told of, so none is to be mapped, and none interrupts. */
int device_map(physical_t address, uint64_t length)
{
	(void)address, (void)length;
	return -EINVAL;
}

int irq_register(unsigned line, irq_handler *handler, void *argument)
{
	(void)line, (void)handler, (void)argument;
	return -ENODEV;
}

struct console_status console_status_at_entry(void) { return console_status(); }

struct console_status console_status(void)
{
	return (struct console_status){
		.input_is_terminal = (host.terminals & 1) != 0,
		.output_is_terminal = (host.terminals & 2) != 0,
		.error_is_terminal = (host.terminals & 4) != 0,
		.rows = 25,
		.columns = 80,
	};
}

/* Each look at the clock takes a microsecond, so that what happens later is later. */
uint64_t time_monotonic(void) { return host.time += 1000; }
void time_set_alarm(uint64_t deadline) { (void)deadline; }
uint64_t time_realtime(void) { return time_monotonic() + 1700000000 * NANOSECONDS_PER_SECOND; }
uint64_t time_resolution(void) { return 1; }

/* A wait that nothing can end ends the test's call. */
void time_idle(uint64_t deadline)
{
	host.idles++;
	if (deadline == TIME_FOREVER)
		host_exit(255, CALYPSO_EXIT_PANIC, "waits for ever");
	if (host.time < deadline)
		host.time = deadline;
}

/* ---- What the test calls ---- */

/* Run the kernel from program_start until it would enter the program. */
void host_start(void);
void host_start(void)
{
	if (__builtin_setjmp(way_out) == 0)
		program_start();
}

/* One system call of x86_64; INT64_MIN where it did not return. */
int64_t host_call(uint64_t number, const uint64_t *arguments);
int64_t host_call(uint64_t number, const uint64_t *arguments)
{
	static struct trap_frame frame;
	frame = (struct trap_frame){
		.error = number,
		.rdi = arguments[0],
		.rsi = arguments[1],
		.rdx = arguments[2],
		.r10 = arguments[3],
		.r8 = arguments[4],
		.r9 = arguments[5],
	};
	if (__builtin_setjmp(way_out) != 0)
		return INT64_MIN;
	syscall_dispatch(&frame);
	return frame_result(&frame);
}

/* Where the strings of program_arguments and the command line are. */
void host_set_bootinfo(const char *command_line_text, const char *arguments, size_t length,
		       uint32_t argc, uint32_t envc);
void host_set_bootinfo(const char *command_line_text, const char *arguments, size_t length,
		       uint32_t argc, uint32_t envc)
{
	bootinfo.command_line = virt_to_phys(command_line_text);
	bootinfo.arguments = virt_to_phys(arguments);
	bootinfo.arguments_length = length;
	bootinfo.argc = argc;
	bootinfo.envc = envc;
	bootinfo.wall_clock = 1600000000 * NANOSECONDS_PER_SECOND;
	for (unsigned i = 0; i < sizeof(bootinfo.seed); i++)
		bootinfo.seed[i] = (uint8_t)i;
}

int host_copy_in(void *to, user_t from, size_t length);
int host_copy_in(void *to, user_t from, size_t length) { return user_copy_in(to, from, length); }

int host_copy_out(user_t to, const void *from, size_t length);
int host_copy_out(user_t to, const void *from, size_t length)
{
	return user_copy_out(to, from, length);
}

/* What elf.h tells of a loaded file. */
struct elf_image {
	uint64_t entry, base, end, headers;
	uint16_t header_count;
};

/* Load an ELF file from anywhere in memory. */
int host_load_elf(const void *data, size_t length, struct elf_image *image, const char **problem);
int host_load_elf(const void *data, size_t length, struct elf_image *image, const char **problem)
{
	struct file *file = ramfs_make_image(data, length, 0755);
	struct elf elf;
	int error = elf_open(&elf, file, problem);
	if (error == 0)
		error = elf_map(&elf, ELF_PROGRAM, problem);
	if (error == 0)
		*image = (struct elf_image){elf_entry(&elf), elf.base, elf.base + elf.end,
					    elf_headers(&elf), elf.header.e_phnum};
	elf_close(&elf);
	file_put(file);
	return error;
}
