/* Switching between threads of the kernel. */

	.text
/* void arch_switch(void **save, void *context) */
	.globl	arch_switch
	.type	arch_switch, @function
arch_switch:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, (%rdi)
	mov	%rsi, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size	arch_switch, . - arch_switch
