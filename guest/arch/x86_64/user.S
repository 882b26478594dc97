/* Accesses to the program's memory. Each instruction that may fault has an entry in the section
 * `fixups`: when the fault cannot be resolved, the trap handler goes on at the landing instead. */

.macro fixup at, landing
	.pushsection fixups, "a"
	.quad	\at, \landing
	.popsection
.endm

#define EFAULT 14
#define ENAMETOOLONG 36

	.text
/* int arch_user_copy(void *to, const void *from, size_t length): 0 or -EFAULT.
 * Either side may be the program's. */
	.globl	arch_user_copy
	.type	arch_user_copy, @function
arch_user_copy:
	mov	%rdx, %rcx
	shr	$3, %rcx
1:	rep movsq
	mov	%edx, %ecx
	and	$7, %ecx
2:	rep movsb
	xor	%eax, %eax
	ret
	fixup	1b, user_fault
	fixup	2b, user_fault
	.size	arch_user_copy, . - arch_user_copy

/* int arch_user_clear(void *to, size_t length): 0 or -EFAULT. */
	.globl	arch_user_clear
	.type	arch_user_clear, @function
arch_user_clear:
	xor	%eax, %eax
	mov	%rsi, %rcx
	shr	$3, %rcx
1:	rep stosq
	mov	%esi, %ecx
	and	$7, %ecx
2:	rep stosb
	ret
	fixup	1b, user_fault
	fixup	2b, user_fault
	.size	arch_user_clear, . - arch_user_clear

/* int64_t arch_user_string(char *to, const char *from, size_t size): length, -EFAULT or
 * -ENAMETOOLONG. */
	.globl	arch_user_string
	.type	arch_user_string, @function
arch_user_string:
	mov	%rdi, %rcx
	add	%rdi, %rdx		/* the end of the buffer */
1:	cmp	%rdx, %rdi
	je	3f
2:	lodsb
	stosb
	test	%al, %al
	jnz	1b
	lea	-1(%rdi), %rax
	sub	%rcx, %rax
	ret
3:	mov	$-ENAMETOOLONG, %rax
	ret
	fixup	2b, user_fault
	.size	arch_user_string, . - arch_user_string

user_fault:
	mov	$-EFAULT, %rax
	ret

/* int fp_store(user_t at, uint32_t components), fp_load: 0 or -EFAULT. XSAVE stores all of them, unlike
 * XSAVEOPT; where there are none, FXSAVE does. */
	.globl	fp_store
	.type	fp_store, @function
fp_store:
	mov	%esi, %eax
	xor	%edx, %edx
	test	%eax, %eax
	jz	2f
1:	xsave64	(%rdi)
	xor	%eax, %eax
	ret
2:	fxsave64 (%rdi)
	ret
	fixup	1b, user_fault
	fixup	2b, user_fault
	.size	fp_store, . - fp_store

	.globl	fp_load
	.type	fp_load, @function
fp_load:
	mov	%esi, %eax
	xor	%edx, %edx
	test	%eax, %eax
	jz	2f
1:	xrstor64 (%rdi)
	xor	%eax, %eax
	ret
2:	fxrstor64 (%rdi)
	ret
	fixup	1b, user_fault
	fixup	2b, user_fault
	.size	fp_load, . - fp_load
