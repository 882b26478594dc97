/* memcpy, memmove, memset: the string instructions, eight bytes at a time. */

	.text
/* void *memcpy(void *to, const void *from, size_t count) */
	.globl	memcpy
	.type	memcpy, @function
memcpy:
	mov	%rdi, %rax
copy_forward:
	mov	%rdx, %rcx
	shr	$3, %rcx
	rep movsq
	mov	%edx, %ecx
	and	$7, %ecx
	rep movsb
	ret
	.size	memcpy, . - memcpy

/* void *memmove(void *to, const void *from, size_t count) */
	.globl	memmove
	.type	memmove, @function
memmove:
	mov	%rdi, %rax
	mov	%rdi, %rcx
	sub	%rsi, %rcx
	cmp	%rdx, %rcx
	jae	copy_forward		/* `to` is not inside [from, from + count) */
	lea	-1(%rsi,%rdx), %rsi
	lea	-1(%rdi,%rdx), %rdi
	mov	%rdx, %rcx
	std
	rep movsb
	cld
	ret
	.size	memmove, . - memmove

/* void *memset(void *to, int byte, size_t count) */
	.globl	memset
	.type	memset, @function
memset:
	mov	%rdi, %r8
	movzbl	%sil, %esi
	movabs	$0x0101010101010101, %rax
	imul	%rsi, %rax
	mov	%rdx, %rcx
	shr	$3, %rcx
	rep stosq
	mov	%edx, %ecx
	and	$7, %ecx
	rep stosb
	mov	%r8, %rax
	ret
	.size	memset, . - memset
