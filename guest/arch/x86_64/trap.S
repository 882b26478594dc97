/* Exceptions and interrupts: stubs, the interrupt descriptor table, and the common path.
 *
 * The stubs are the first thing in the image, 16 bytes each, so that the gates' scattered
 * addresses are constants and the table is read-only data that nobody has to fill at boot.
 */
#include <arch/selectors.h>
#include <arch/vectors.h>

#define IST_EMERGENCY 1
#define GENERAL_PROTECTION 13
#define PAGE_FAULT 14

	.section .text.vectors, "ax"
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	VECTORS
	.balign	16, 0xcc
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push	$0			/* the processor pushes no error code */
	.endif
	.if	vector == PAGE_FAULT
	jmp	page_fault
	.elseif	vector == GENERAL_PROTECTION
	jmp	general_protection
	.else
	push	$vector
	jmp	trap_common
	.endif
	.set	vector, vector + 1
	.endr

/* struct trap_frame, from the top: the processor's part, error, vector, and then these. */
.macro save_registers
	push	%rax
	push	%rbx
	push	%rcx
	push	%r9
	push	%r8
	push	%r10
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
.endm

.macro restore_registers
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%r10
	pop	%r8
	pop	%r9
	pop	%rcx
	pop	%rbx
	pop	%rax
.endm

	.text
	.type	trap_common, @function
trap_common:
	save_registers
	cld
dispatch:
	mov	%rsp, %rdi
	xor	%ebp, %ebp
	call	trap_dispatch
	.globl	trap_return
trap_return:
	restore_registers
	add	$16, %rsp		/* vector and error */
return_to_interrupted:
	iretq
	.size	trap_common, . - trap_common

/* IRET refuses an address that is not canonical and faults in the kernel. All other registers are
 * the program's again, so make it the general protection fault that the program has earned. */
refused_return:
	push	$0
	push	$GENERAL_PROTECTION
	jmp	trap_common

	.pushsection fixups, "a"
	.quad	return_to_interrupted, refused_return
	.popsection

/* The first instruction of boot that needs ring 0 (entry.S) is repeated there. On the stack are error
 * code, rip, cs, rflags, rsp and ss. */
	.type	general_protection, @function
general_protection:
	cmpb	$0, trap_privileged(%rip)
	je	become_privileged
	push	$GENERAL_PROTECTION
	jmp	trap_common
become_privileged:
	movb	$1, trap_privileged(%rip)
	movq	$KERNEL_CS, 16(%rsp)
	movq	$KERNEL_SS, 40(%rsp)
	add	$8, %rsp
	iretq
	.size	general_protection, . - general_protection

/* Page faults come in on the emergency stack, because the stack of the kernel may be what is missing.
 * On top of it are the error code, rip, cs, rflags, rsp and ss. */
	.type	page_fault, @function
page_fault:
	testb	$3, 16(%rsp)		/* cs */
	jz	kernel_page_fault
	push	%rax
	lea	syscall_entry(%rip), %rax
	cmp	%rax, 16(%rsp)		/* rip */
	je	unfinished_syscall
	mov	%rsp, %rax
	mov	lcpu(%rip), %rsp	/* auxsp */
	.irp	offset, 48, 40, 32, 24, 16, 8
	push	\offset(%rax)
	.endr
	push	$PAGE_FAULT
	mov	(%rax), %rax
	jmp	trap_common

/* Some hypervisors carry out SYSCALL only half: RIP becomes LSTAR, RCX and R11 hold what to return to, but
 * the privilege level stays 3. Fetching the entry then faults, and the fault is the system call. A program
 * that jumps there by itself gets no more than a system call either, and no more flags than are its own. */
unfinished_syscall:
	pop	%rax
	mov	32(%rsp), %rsp		/* the program's */
	and	$USER_FLAGS_OWN, %r11d
	or	$USER_FLAGS, %r11d
	cld
	jmp	syscall_entry

/* The kernel's are settled here where a stack has to grow, else they go on where it was. */
kernel_page_fault:
	push	$PAGE_FAULT
	save_registers
	cld
	mov	%rsp, %rdi
	xor	%ebp, %ebp
	call	trap_leave_emergency_stack
	test	%rax, %rax
	jz	trap_return
	mov	%rax, %rsp
	jmp	dispatch
	.size	page_fault, . - page_fault

/* SYSCALL: RCX = return address, R11 = flags, the stack still the program's. There is one processor, so
 * `lcpu` has an address, and GS stays the program's. */
	.globl	syscall_entry
	.type	syscall_entry, @function
	.balign	16
syscall_entry:
	mov	%rsp, lcpu + 8(%rip)	/* user_stack */
	mov	lcpu(%rip), %rsp	/* auxsp */
	push	$USER_SS
	push	lcpu + 8(%rip)
	push	%r11
	push	$USER_CS
	push	%rcx
	push	%rax			/* the number, kept in `error` */
	push	$0x100			/* FRAME_SYSCALL */
	save_registers
	mov	%rsp, %rdi
	xor	%ebp, %ebp
	call	syscall_dispatch

	/* SYSRET takes rip from RCX and the flags from R11. Where the frame says otherwise, or the
	 * address is not the program's (non-canonical ones fault in the kernel), IRET returns. */
	mov	136(%rsp), %rcx		/* rip */
	cmp	%rcx, 96(%rsp)		/* rcx */
	jne	trap_return
	mov	152(%rsp), %r11		/* rflags */
	cmp	%r11, 32(%rsp)		/* r11 */
	jne	trap_return
	mov	%rcx, %rax
	shr	$47, %rax
	jnz	trap_return
	restore_registers
	mov	40(%rsp), %rsp		/* rsp, past vector, error, rip, cs, rflags */
	sysretq
	.size	syscall_entry, . - syscall_entry

/* noreturn void enter_user(user_t pc, user_t sp, physical_t root): to the program, with all other registers
 * zero. What needs no ring 0 comes first, for boot is mostly in ring 3 up to here. */
	.globl	enter_user
	.type	enter_user, @function
enter_user:
	push	$USER_SS
	push	%rsi
	push	$USER_FLAGS
	push	$USER_CS
	push	%rdi
	mov	%rdx, %rax
	xor	%ebx, %ebx
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%ebp, %ebp
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
	cli
	mov	%rax, %cr3
	xor	%eax, %eax
	jmp	return_to_interrupted
	.size	enter_user, . - enter_user

	.section .rodata
	.balign	16
	.globl	interrupt_table
interrupt_table:
	.set	vector, 0
	.rept	VECTORS
	.word	(vector * 16) & 0xffff	/* KERNEL_VIRTUAL + 16 * vector, checked by kernel.ld */
	.word	KERNEL_CS
	.if	vector == 2 || vector == 8 || vector == PAGE_FAULT || vector == 18
	.byte	IST_EMERGENCY		/* NMI, double fault, page fault, machine check */
	.else
	.byte	0
	.endif
	.if	vector == 3 || vector == 4
	.byte	0xee			/* INT3 and INTO are the program's to use */
	.else
	.byte	0x8e
	.endif
	.word	0x0010
	.long	0xffff9000
	.long	0
	.set	vector, vector + 1
	.endr
	.if	. - interrupt_table != VECTORS * GATE_SIZE
	.error	"gates"
	.endif
