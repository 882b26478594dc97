/* Accesses to the program's memory. Each instruction that may fault has an entry in the section
 * `fixups`: when the fault cannot be resolved, the trap handler goes on at the landing instead. */

.macro may_fault instruction:vararg
9:	\instruction
	.pushsection fixups, "a"
	.quad	9b, user_fault
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
	subs	x2, x2, #16
	b.lo	2f
1:	may_fault ldp x4, x5, [x1], #16
	may_fault stp x4, x5, [x0], #16
	subs	x2, x2, #16
	b.hs	1b
2:	tbz	x2, #3, 3f		/* x2 is the rest - 16: its low bits are the rest's */
	may_fault ldr x4, [x1], #8
	may_fault str x4, [x0], #8
3:	ands	x2, x2, #7
	b.eq	5f
4:	may_fault ldrb w4, [x1], #1
	may_fault strb w4, [x0], #1
	subs	x2, x2, #1
	b.ne	4b
5:	mov	x0, xzr
	ret
	.size	arch_user_copy, . - arch_user_copy

/* int arch_user_clear(void *to, size_t length): 0 or -EFAULT. */
	.globl	arch_user_clear
	.type	arch_user_clear, @function
arch_user_clear:
	subs	x1, x1, #16
	b.lo	2f
1:	may_fault stp xzr, xzr, [x0], #16
	subs	x1, x1, #16
	b.hs	1b
2:	ands	x1, x1, #15
	b.eq	4f
3:	may_fault strb wzr, [x0], #1
	subs	x1, x1, #1
	b.ne	3b
4:	mov	x0, xzr
	ret
	.size	arch_user_clear, . - arch_user_clear

/* int64_t arch_user_string(char *to, const char *from, size_t size): length, -EFAULT or
 * -ENAMETOOLONG. */
	.globl	arch_user_string
	.type	arch_user_string, @function
arch_user_string:
	mov	x3, xzr
1:	cmp	x3, x2
	b.eq	2f
	may_fault ldrb w4, [x1, x3]
	strb	w4, [x0, x3]
	add	x3, x3, #1
	cbnz	w4, 1b
	sub	x0, x3, #1
	ret
2:	mov	x0, #-ENAMETOOLONG
	ret
	.size	arch_user_string, . - arch_user_string

user_fault:
	mov	x0, #-EFAULT
	ret
