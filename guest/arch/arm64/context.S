/* Switching between threads of the kernel, and their floating point and SIMD registers. */

	.arch_extension simd

	.text
/* void arch_switch(void **save, void *context) */
	.globl	arch_switch
	.type	arch_switch, @function
arch_switch:
	stp	x19, x20, [sp, #-96]!
	stp	x21, x22, [sp, #16]
	stp	x23, x24, [sp, #32]
	stp	x25, x26, [sp, #48]
	stp	x27, x28, [sp, #64]
	stp	x29, x30, [sp, #80]
	mov	x2, sp
	str	x2, [x0]
	mov	sp, x1
	ldp	x21, x22, [sp, #16]
	ldp	x23, x24, [sp, #32]
	ldp	x25, x26, [sp, #48]
	ldp	x27, x28, [sp, #64]
	ldp	x29, x30, [sp, #80]
	ldp	x19, x20, [sp], #96
	ret
	.size	arch_switch, . - arch_switch

/* void arch_call_on_stack(void *stack_top, void (*act)(uint64_t argument), uint64_t argument) */
	.globl	arch_call_on_stack
	.type	arch_call_on_stack, @function
arch_call_on_stack:
	stp	x29, x30, [sp, #-16]!
	mov	x29, sp
	mov	sp, x0
	mov	x0, x2
	blr	x1
	mov	sp, x29
	ldp	x29, x30, [sp], #16
	ret
	.size	arch_call_on_stack, . - arch_call_on_stack

/* void arch_fp_save(struct fp_state *state) */
	.globl	arch_fp_save
	.type	arch_fp_save, @function
arch_fp_save:
	mrs	x1, fpsr
	mrs	x2, fpcr
	stp	w1, w2, [x0, #8]
	add	x0, x0, #16
	stp	q0, q1, [x0, #0]
	stp	q2, q3, [x0, #32]
	stp	q4, q5, [x0, #64]
	stp	q6, q7, [x0, #96]
	stp	q8, q9, [x0, #128]
	stp	q10, q11, [x0, #160]
	stp	q12, q13, [x0, #192]
	stp	q14, q15, [x0, #224]
	stp	q16, q17, [x0, #256]
	stp	q18, q19, [x0, #288]
	stp	q20, q21, [x0, #320]
	stp	q22, q23, [x0, #352]
	stp	q24, q25, [x0, #384]
	stp	q26, q27, [x0, #416]
	stp	q28, q29, [x0, #448]
	stp	q30, q31, [x0, #480]
	ret
	.size	arch_fp_save, . - arch_fp_save

/* void arch_fp_restore(const struct fp_state *state) */
	.globl	arch_fp_restore
	.type	arch_fp_restore, @function
arch_fp_restore:
	ldp	w1, w2, [x0, #8]
	msr	fpsr, x1
	msr	fpcr, x2
	add	x0, x0, #16
	ldp	q0, q1, [x0, #0]
	ldp	q2, q3, [x0, #32]
	ldp	q4, q5, [x0, #64]
	ldp	q6, q7, [x0, #96]
	ldp	q8, q9, [x0, #128]
	ldp	q10, q11, [x0, #160]
	ldp	q12, q13, [x0, #192]
	ldp	q14, q15, [x0, #224]
	ldp	q16, q17, [x0, #256]
	ldp	q18, q19, [x0, #288]
	ldp	q20, q21, [x0, #320]
	ldp	q22, q23, [x0, #352]
	ldp	q24, q25, [x0, #384]
	ldp	q26, q27, [x0, #416]
	ldp	q28, q29, [x0, #448]
	ldp	q30, q31, [x0, #480]
	ret
	.size	arch_fp_restore, . - arch_fp_restore
