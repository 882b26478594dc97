/* memcpy, memmove, memset with general registers: 16 bytes at a time, then the rest. */

	.text
/* void *memcpy(void *to, const void *from, size_t count) */
	.globl	memcpy
	.type	memcpy, @function
memcpy:
	mov	x3, x0
copy_forward:
	subs	x2, x2, #16
	b.lo	2f
1:	ldp	x4, x5, [x1], #16
	stp	x4, x5, [x3], #16
	subs	x2, x2, #16
	b.hs	1b
2:	tbz	x2, #3, 3f		/* x2 is the rest - 16: its low bits are the rest's */
	ldr	x4, [x1], #8
	str	x4, [x3], #8
3:	ands	x2, x2, #7
	b.eq	5f
4:	ldrb	w4, [x1], #1
	strb	w4, [x3], #1
	subs	x2, x2, #1
	b.ne	4b
5:	ret
	.size	memcpy, . - memcpy

/* void *memmove(void *to, const void *from, size_t count) */
	.globl	memmove
	.type	memmove, @function
memmove:
	mov	x3, x0
	sub	x4, x0, x1
	cmp	x4, x2
	b.hs	copy_forward		/* `to` is not inside [from, from + count) */
	add	x1, x1, x2
	add	x3, x3, x2
	subs	x2, x2, #16
	b.lo	2f
1:	ldp	x4, x5, [x1, #-16]!
	stp	x4, x5, [x3, #-16]!
	subs	x2, x2, #16
	b.hs	1b
2:	ands	x2, x2, #15
	b.eq	4f
3:	ldrb	w4, [x1, #-1]!
	strb	w4, [x3, #-1]!
	subs	x2, x2, #1
	b.ne	3b
4:	ret
	.size	memmove, . - memmove

/* void *memset(void *to, int byte, size_t count) */
	.globl	memset
	.type	memset, @function
memset:
	mov	x3, x0
	and	x1, x1, #0xff
	orr	x1, x1, x1, lsl #8
	orr	x1, x1, x1, lsl #16
	orr	x1, x1, x1, lsl #32
	subs	x2, x2, #16
	b.lo	2f
1:	stp	x1, x1, [x3], #16
	subs	x2, x2, #16
	b.hs	1b
2:	tbz	x2, #3, 3f
	str	x1, [x3], #8
3:	ands	x2, x2, #7
	b.eq	5f
4:	strb	w1, [x3], #1
	subs	x2, x2, #1
	b.ne	4b
5:	ret
	.size	memset, . - memset
