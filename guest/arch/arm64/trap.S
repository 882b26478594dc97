/* Exceptions: the vector table and the common paths. */

#define FRAME_SIZE 288
#define FRAME_SP 248
#define FRAME_PC 256
#define FRAME_PSTATE 264
#define FRAME_ESR 272

/* Save x0 and x1, and go on with x1 = which kind of exception it is. */
.macro vector kind, common
	.balign	0x80
	sub	sp, sp, #FRAME_SIZE
	stp	x0, x1, [sp]
	mov	x1, #\kind
	b	\common
.endm

/* The same for exceptions of the kernel itself, whose stack may have no room for the frame: address
 * translation tells. SP_EL0 is free while the kernel runs, the program's is in its frame. */
.macro kernel_vector kind
	.balign	0x80
	msr	sp_el0, x0
	sub	x0, sp, #FRAME_SIZE
	at	s1e1w, x0
	isb
	mrs	x0, par_el1
	tbnz	x0, #0, stack_exhausted	/* PAR_EL1.F: no translation */
	mrs	x0, sp_el0
	sub	sp, sp, #FRAME_SIZE
	stp	x0, x1, [sp]
	mov	x1, #\kind
	b	kernel_exception
.endm

	.section .text.vectors, "ax"
	.balign	2048
	.globl	trap_stubs
trap_stubs:
	/* From this level with SP_EL0, which the kernel never selects. */
	vector	3, kernel_exception
	vector	3, kernel_exception
	vector	3, kernel_exception
	vector	3, kernel_exception
	/* From this level with SP_EL1: synchronous, IRQ, FIQ, SError. */
	kernel_vector 0
	kernel_vector 1
	kernel_vector 2
	kernel_vector 3
	/* From the program. */
	vector	0, program_exception
	vector	1, program_exception
	vector	2, program_exception
	vector	3, program_exception
	/* From a 32-bit program, which cannot be. */
	vector	3, program_exception
	vector	3, program_exception
	vector	3, program_exception
	vector	3, program_exception
	.balign	0x80

.macro save_registers
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	str	x30, [sp, #240]
.endm

.macro restore_registers
	ldp	x0, x1, [sp]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x19, [sp, #144]
	ldp	x20, x21, [sp, #160]
	ldp	x22, x23, [sp, #176]
	ldp	x24, x25, [sp, #192]
	ldp	x26, x27, [sp, #208]
	ldp	x28, x29, [sp, #224]
	ldr	x30, [sp, #240]
.endm

/* Store the rest of the frame, \stack being the interrupted stack pointer; uses x3 to x5. */
.macro save_state stack
	mrs	x3, elr_el1
	mrs	x4, spsr_el1
	mrs	x5, esr_el1
	stp	\stack, x3, [sp, #FRAME_SP]
	stp	x4, x5, [sp, #FRAME_PSTATE]
.endm

.macro restore_state stack
	ldp	\stack, x3, [sp, #FRAME_SP]
	ldr	x4, [sp, #FRAME_PSTATE]
	msr	elr_el1, x3
	msr	spsr_el1, x4
.endm

	.text
	.type	kernel_exception, @function
kernel_exception:
	save_registers
	add	x2, sp, #FRAME_SIZE
	save_state x2
	mov	x0, sp
	bl	trap_dispatch
	restore_state x2
	restore_registers
	add	sp, sp, #FRAME_SIZE
	eret
	.size	kernel_exception, . - kernel_exception

	.type	program_exception, @function
program_exception:
	save_registers
	mrs	x2, sp_el0
	save_state x2
	mov	x29, xzr		/* backtraces end here */
	mov	x0, sp
	bl	trap_dispatch
	.globl	trap_return
trap_return:
	restore_state x2
	msr	sp_el0, x2
	restore_registers
	add	sp, sp, #FRAME_SIZE
	eret
	.size	program_exception, . - program_exception

/* There is no room for the frame: SP_EL0 = x0. Let the stack grow, from the emergency stack, and
 * repeat what made the exception. The program's second thread pointer, always 0, is scratch. */
	.type	stack_exhausted, @function
stack_exhausted:
	mov	x0, sp
	msr	tpidrro_el0, x0
	adrp	x0, emergency_stack_top
	add	x0, x0, :lo12:emergency_stack_top
	sub	sp, x0, #FRAME_SIZE
	mrs	x0, sp_el0
	stp	x0, x1, [sp]
	save_registers
	mrs	x2, tpidrro_el0
	msr	tpidrro_el0, xzr
	save_state x2
	mov	x0, sp
	bl	trap_stack_exhausted
	restore_state x2
	msr	tpidrro_el0, x2
	restore_registers
	msr	sp_el0, x0
	mrs	x0, tpidrro_el0
	msr	tpidrro_el0, xzr
	mov	sp, x0
	mrs	x0, sp_el0
	eret
	.size	stack_exhausted, . - stack_exhausted

/* noreturn void enter_user(user_t pc, user_t sp, void *auxsp): to the program, with all other registers
 * zero. */
	.globl	enter_user
	.type	enter_user, @function
enter_user:
	msr	daifset, #0xf
	msr	elr_el1, x0
	msr	sp_el0, x1
	msr	spsr_el1, xzr		/* EL0t, nothing masked */
	mov	sp, x2			/* for the next exception */
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	mov	x\n, xzr
	.endr
	.irp	n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
	mov	x\n, xzr
	.endr
	eret
	.size	enter_user, . - enter_user
