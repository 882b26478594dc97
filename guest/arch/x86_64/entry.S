/* Where the VMM enters: long mode, initial page tables, interrupts off, no stack,
 * RDI = guest-physical address of bootinfo.
 *
 * Boot computes: it looks at descriptions, fills tables, copies files. Nothing of this needs ring 0,
 * and there is nobody yet to be protected from, so it runs in ring 3; the initial tables allow
 * that. A hypervisor that emulates ring 0 one instruction at a time runs ring 3 directly, where
 * boot is a thousand times as fast. The first instruction that does need ring 0 traps and is
 * repeated there (trap.S), once and for all.
 */
#include <arch/constants.h>
#include <arch/selectors.h>

	.text
	.globl	_start
	.type	_start, @function
_start:
	lea	boot_stack_top - FP_STATE_MAX - AUXSPCB_SIZE(%rip), %rsp
	xor	%ebp, %ebp		/* the end of every backtrace */
	push	%rdi
	call	arch_initialize
	pop	%rdi

	push	$0			/* where a return address would be */
	mov	%rsp, %rax
	lea	kernel_main(%rip), %rcx
	push	$USER_SS
	push	%rax
	push	$2			/* flags: only the bit that is always set */
	push	$USER_CS
	push	%rcx
	iretq
	.size	_start, . - _start
