/* Where firmware/arm64/entry.S enters: EL1, MMU on with the initial tables, interrupts masked,
 * no stack, X0 = guest-physical address of bootinfo. */
#include <arch/constants.h>

	.text
	.globl	_start
	.type	_start, @function
_start:
	msr	spsel, #1
	adrp	x1, boot_stack_top
	add	x1, x1, :lo12:boot_stack_top
	sub	sp, x1, #FP_STATE_MAX + AUXSPCB_SIZE
	mov	x29, xzr		/* the end of every backtrace */
	mov	x30, xzr
	mov	x19, x0
	bl	arch_initialize
	mov	x0, x19
	bl	kernel_main
	.size	_start, . - _start
