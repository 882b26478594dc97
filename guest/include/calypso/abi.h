/* The paravirtual ABI between Calypso's VMM and its guest kernel.
 *
 * This header is the one source of the layout: the VMM's side is checked against it by a test.
 * Every field is little-endian and naturally aligned. "gpa" is a guest-physical address.
 *
 * Version rule: CALYPSO_ABI_VERSION grows when a field changes its meaning or place; a new service
 * or a new field at the end of a structure is a feature bit instead.
 */
#ifndef CALYPSO_ABI_H
#define CALYPSO_ABI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define CALYPSO_ABI_VERSION 1

/* ---- Bootinfo: what the VMM tells the kernel. Its gpa is in RDI (x86_64) or X0 (arm64). ---- */

#define CALYPSO_BOOTINFO_MAGIC 0x004f5350594c4143ull /* "CALYPSO\0" read as bytes */

enum calypso_feature {
	CALYPSO_FEATURE_DOORBELL = 1u << 0,    /* the doorbell and its services exist */
	CALYPSO_FEATURE_CONSOLE = 1u << 1,     /* CONSOLE_WRITE and CONSOLE_READ */
	CALYPSO_FEATURE_IDLE = 1u << 2,	       /* IDLE */
	CALYPSO_FEATURE_ZEROED_RAM = 1u << 3,  /* free RAM reads as zero at entry */
	CALYPSO_FEATURE_SERVICES = 1u << 4,    /* the host makes calls: a SERVICE region, COMPLETED */
	CALYPSO_FEATURE_GENERATION = 1u << 5,  /* bootinfo.generation is there */
	CALYPSO_FEATURE_STACK_GUARD = 1u << 6, /* bootinfo.stack_guard is there */
	CALYPSO_FEATURE_NO_TERMINAL = 1u << 7, /* at entry CONSOLE_STATUS would give zeros */
	CALYPSO_FEATURE_CONTROLLER = 1u << 8,  /* bootinfo.controller and four fields behind it */
};

enum calypso_region_type {
	CALYPSO_REGION_FREE = 1,       /* RAM nobody uses */
	CALYPSO_REGION_RESERVED = 2,   /* RAM the kernel must not touch */
	CALYPSO_REGION_KERNEL = 3,     /* one per segment of the kernel; without flags: a guard */
	CALYPSO_REGION_BOOT = 4,       /* boot tables, bootinfo, stack: free once boot is over */
	CALYPSO_REGION_PROGRAM = 5,    /* the program's ELF file, page-aligned, whole */
	CALYPSO_REGION_INITRD = 6,     /* cpio archive, page-aligned */
	CALYPSO_REGION_DEVICETREE = 7, /* flattened device tree */
	CALYPSO_REGION_DEVICE = 8,     /* memory-mapped registers */
	CALYPSO_REGION_SERVICE = 9,    /* struct calypso_ring, its entries and its window */
};

enum calypso_region_flag {
	CALYPSO_REGION_READ = 1u << 0,
	CALYPSO_REGION_WRITE = 1u << 1,
	CALYPSO_REGION_EXECUTE = 1u << 2,
};

/* A range of guest-physical memory. Ascending, disjoint, page-aligned, never empty, all valid. */
struct calypso_region {
	uint64_t physical;
	uint64_t virtual; /* where the kernel is to map it */
	uint64_t length;  /* bytes; a multiple of the page size */
	uint32_t type;	  /* enum calypso_region_type */
	uint32_t flags;	  /* enum calypso_region_flag */
	char name[16];	  /* for people; NUL-padded */
};

/* The interrupt controller; numbers are architecture versions of Arm's GIC. */
enum calypso_controller {
	CALYPSO_CONTROLLER_NONE = 0,
	CALYPSO_CONTROLLER_GICV2 = 2,
	CALYPSO_CONTROLLER_GICV3 = 3,
};

struct calypso_bootinfo {
	uint64_t magic;
	uint32_t version;	/* CALYPSO_ABI_VERSION */
	uint32_t size;		/* sizeof(struct calypso_bootinfo) of the writer */
	uint64_t features;	/* enum calypso_feature */
	uint64_t regions;	/* gpa of struct calypso_region[region_count] */
	uint32_t region_count;
	uint32_t region_capacity; /* room in that array, for regions that early devices add */
	uint64_t command_line;	/* gpa, NUL-terminated UTF-8 */
	uint64_t command_line_length; /* without the NUL */
	uint64_t device_tree;	/* gpa, 0 where there is none (x86_64) */
	uint64_t device_tree_length;
	uint64_t arguments;	/* gpa of the program's argument block: argc NUL-terminated strings, */
	uint64_t arguments_length; /* then envc of them, back to back; length in bytes of both */
	uint32_t argc;
	uint32_t envc;
	uint64_t doorbell;	/* x86_64: I/O port; arm64: gpa of a 32-bit register */
	uint64_t counter_hz;	/* of the TSC or CNTVCT_EL0; 0 where unknown: use CLOCK */
	uint64_t wall_clock;	/* CLOCK_REALTIME in ns when the machine was created */
	uint64_t console;	/* early serial port: I/O port (x86_64) or gpa (arm64); 0: none */
	uint8_t seed[32];	/* entropy for the random number generator; the kernel erases it */
	uint64_t generation;	/* gpa of struct calypso_generation */
	uint64_t stack_guard;	/* entropy for the kernel's stack protector; the kernel erases it */
	uint64_t controller;	/* enum calypso_controller */
	uint64_t distributor;	/* gpa of its registers */
	uint64_t distributor_length;
	uint64_t processor_frames; /* gpa of the CPU interface (GICv2) or all redistributors (3) */
	uint64_t processor_frames_length;
};

/* Which of those that have the same past a machine is. When RAM has been restored or copied, the host
 * stores a fresh seed and then another number, and the guest, which compares the number whenever
 * random numbers are asked for, mixes the seed in and erases it. At the start both are 0. */
struct calypso_generation {
	uint64_t number;
	uint8_t seed[32];
};

/* ---- Services: the guest asks the host. ----
 *
 * The guest fills a request in RAM (64-byte aligned, below 256 GiB) and writes its gpa / 64 as one
 * 32-bit word to the doorbell. When the write has completed, so has the request, unless the table
 * below says otherwise. An unknown service gives -ENOSYS, a bad gpa -EFAULT (errno values of
 * Linux); an unreadable request block is ignored.
 */

#define CALYPSO_REQUEST_ALIGNMENT 64

enum calypso_service {
	/* arguments: gpa, length, enum calypso_stream. Result: bytes written. */
	CALYPSO_CONSOLE_WRITE = 1,
	/* arguments: gpa, length. Result: bytes read, 0 at the end of input, -EAGAIN: none yet. */
	CALYPSO_CONSOLE_READ = 2,
	/* arguments: status (0-255), enum calypso_exit_reason, gpa and length of a message. The
	 * machine stops; the guest may run on for a few instructions and must then only wait. */
	CALYPSO_EXIT = 3,
	/* Result: guest time in ns since the machine was created; arguments[0] := CLOCK_REALTIME. */
	CALYPSO_CLOCK = 4,
	/* arguments: gpa, length. Result: bytes of entropy stored there. */
	CALYPSO_ENTROPY = 5,
	/* arguments: deadline in ns of guest time (all ones: none). Sleeps until then, until
	 * console input (or its end) is there to be read, or until a device requests an interrupt
	 * (or has done so since the last sleep); may return early. Result 0. */
	CALYPSO_IDLE = 6,
	/* arguments: gpa, length of a line of text for the host's trace. Result 0. */
	CALYPSO_TRACE = 7,
	/* Result: bit 0: standard input is a terminal, bit 1: output is, bit 2: error is;
	 * arguments[0] := rows, arguments[1] := columns. */
	CALYPSO_CONSOLE_STATUS = 8,
	/* Completions were posted to the service ring. IDLE says so too. Result 0. */
	CALYPSO_COMPLETED = 9,
};

enum calypso_stream {
	CALYPSO_STREAM_OUTPUT = 1,
	CALYPSO_STREAM_ERROR = 2,
	CALYPSO_STREAM_LOG = 3, /* the kernel's own */
};

enum calypso_exit_reason {
	CALYPSO_EXIT_PROGRAM = 0, /* the program ended by itself with this status */
	CALYPSO_EXIT_SIGNAL = 1,  /* the program was killed: status is 128 + signal */
	CALYPSO_EXIT_PANIC = 2,	  /* the kernel gave up; the message says why */
	CALYPSO_EXIT_REFUSED = 3, /* the program cannot be run; the message says why */
};

struct calypso_request {
	uint32_t service; /* in: enum calypso_service */
	uint32_t flags;	  /* in: 0 */
	int64_t result;	  /* out: >= 0, or -errno */
	uint64_t arguments[6];
};

/* ---- The service ring: the host asks the guest. ----
 *
 * It lies in the SERVICE region, which begins with struct calypso_ring. The host fills the fields
 * up to the window's length and zeroes the rest before the guest starts; the guest checks them,
 * fills `window_address`, then `features`. Where it finds them wrong, `features` stays 0.
 *
 * The host stores a submission at submission_tail % submission_count and then adds 1 to
 * submission_tail; the guest stores a completion in the same way, one for each submission, in any
 * order. The four indices run freely, modulo 2^32. The host may have completion_count submissions
 * without a completion that it has read; the guest takes no more. The guest looks for submissions
 * when IDLE has returned and whenever it schedules; while it sleeps in IDLE the host ends that.
 *
 * The window is shared memory for what calls point to: byte n of it is at window_offset + n of the
 * region for the host, and at virtual address window_address + n for the calls.
 */

#define CALYPSO_RING_MAGIC 0x00474e4952504c43ull /* "CLPRING\0" read as bytes */
#define CALYPSO_RING_VERSION 1

/* The task that is there from the start. */
#define CALYPSO_FIRST_TASK 1

enum calypso_ring_feature {
	CALYPSO_RING_CALLS = 1u << 0, /* CALL */
	CALYPSO_RING_TASKS = 1u << 1, /* TASK_NEW and TASK_END */
};

struct calypso_ring {
	uint64_t magic;
	uint32_t version;	     /* CALYPSO_RING_VERSION */
	uint32_t size;		     /* sizeof(struct calypso_ring) of the writer */
	uint32_t submission_offset;  /* from the start of the region, like all offsets here */
	uint32_t submission_count;   /* a power of two */
	uint32_t completion_offset;
	uint32_t completion_count;   /* a power of two */
	uint32_t window_offset;	     /* a multiple of the page size */
	uint32_t window_length;	     /* a multiple of the page size */
	uint64_t window_address;     /* guest: virtual */
	uint64_t features;	     /* guest: enum calypso_ring_feature; 0: not ready */
	uint32_t submission_tail;    /* host */
	uint32_t completion_head;    /* host: completions that it has read */
	uint32_t submission_head;    /* guest: submissions that it has taken */
	uint32_t completion_tail;    /* guest */
};

enum calypso_operation {
	/* A system call: `number` and `arguments` are those of Linux on the guest's architecture.
	 * Result: as of that call. -ENOSYS also for those that only a program's own registers give
	 * a meaning: clone, execve, exit, rt_sigreturn. -ESRCH: no such task. -EBUSY: it has not
	 * completed the one before. */
	CALYPSO_CALL = 1,
	/* A new task, made by `task`; `flags`: enum calypso_task_flag. Result: its number. */
	CALYPSO_TASK_NEW = 2,
	/* The end of `task`; not of the first (-EINVAL). Result 0. */
	CALYPSO_TASK_END = 3,
};

enum calypso_task_flag {
	/* It shares descriptors, working directory and umask with the task that makes it; else it
	 * has its own, with standard input, output and error open. */
	CALYPSO_TASK_SHARES_FILES = 1u << 0,
};

struct calypso_submission {
	uint64_t tag;	    /* comes back in the completion */
	uint32_t operation; /* enum calypso_operation */
	uint32_t flags;	    /* 0 where the operation has none */
	uint32_t task;
	uint32_t number;
	uint64_t arguments[6];
};

struct calypso_completion {
	uint64_t tag;
	int64_t result; /* >= 0, or -errno */
};

static_assert(sizeof(struct calypso_region) == 48, "ABI");
static_assert(sizeof(struct calypso_request) == 64, "ABI");
static_assert(offsetof(struct calypso_bootinfo, regions) == 24, "ABI");
static_assert(offsetof(struct calypso_bootinfo, command_line) == 40, "ABI");
static_assert(offsetof(struct calypso_bootinfo, device_tree) == 56, "ABI");
static_assert(offsetof(struct calypso_bootinfo, arguments) == 72, "ABI");
static_assert(offsetof(struct calypso_bootinfo, argc) == 88, "ABI");
static_assert(offsetof(struct calypso_bootinfo, doorbell) == 96, "ABI");
static_assert(offsetof(struct calypso_bootinfo, console) == 120, "ABI");
static_assert(offsetof(struct calypso_bootinfo, seed) == 128, "ABI");
static_assert(offsetof(struct calypso_bootinfo, generation) == 160, "ABI");
static_assert(offsetof(struct calypso_bootinfo, stack_guard) == 168, "ABI");
static_assert(offsetof(struct calypso_bootinfo, controller) == 176, "ABI");
static_assert(offsetof(struct calypso_bootinfo, processor_frames) == 200, "ABI");
static_assert(sizeof(struct calypso_bootinfo) == 216, "ABI");
static_assert(offsetof(struct calypso_generation, seed) == 8, "ABI");
static_assert(sizeof(struct calypso_generation) == 40, "ABI");
static_assert(offsetof(struct calypso_ring, submission_offset) == 16, "ABI");
static_assert(offsetof(struct calypso_ring, window_address) == 40, "ABI");
static_assert(offsetof(struct calypso_ring, submission_tail) == 56, "ABI");
static_assert(offsetof(struct calypso_ring, completion_tail) == 68, "ABI");
static_assert(sizeof(struct calypso_ring) == 72, "ABI");
static_assert(offsetof(struct calypso_submission, task) == 16, "ABI");
static_assert(offsetof(struct calypso_submission, arguments) == 24, "ABI");
static_assert(sizeof(struct calypso_submission) == 72, "ABI");
static_assert(sizeof(struct calypso_completion) == 16, "ABI");

#endif
