/* Where the VMM enters: long mode, initial page tables, interrupts off, no stack,
 * RDI = guest-physical address of bootinfo. */
	.text
	.globl	_start
	.type	_start, @function
_start:
	lea	boot_stack_top(%rip), %rsp
	xor	%ebp, %ebp		/* the end of every backtrace */
	call	kernel_main
	.size	_start, . - _start
