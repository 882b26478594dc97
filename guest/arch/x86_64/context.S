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

/* void arch_call_on_stack(void *stack_top, void (*act)(uint64_t argument), uint64_t argument) */
	.globl	arch_call_on_stack
	.type	arch_call_on_stack, @function
arch_call_on_stack:
	push	%rbp
	mov	%rsp, %rbp
	mov	%rdi, %rsp
	mov	%rdx, %rdi
	call	*%rsi
	leave
	ret
	.size	arch_call_on_stack, . - arch_call_on_stack
