/* The first code of an arm64 machine: turns the MMU on and enters the kernel.
 *
 * A flat, position-independent blob that uses no memory. In: EL1, MMU off, interrupts masked, and
 *	x0  guest-physical address of bootinfo
 *	x1  root table of the upper half (TTBR1_EL1)
 *	x2  root table of the lower half (TTBR0_EL1), which maps this code at its physical address
 *	x3  virtual address of the kernel's entry
 * Out: x3 with x0 as it was, 4 KiB granule and 48 bits in both halves, memory attributes
 *	0  Device-nGnRnE
 *	1  Normal, write-back, read and write allocating
 */

#define MAIR 0xff00

/* TCR_EL1 without IPS: T0SZ = T1SZ = 16, walks through inner-shareable write-back memory,
 * TG0 = 0b00 and TG1 = 0b10 (4 KiB). */
#define TCR_LOW 0x3510
#define TCR_HIGH 0xb510
#define TCR_IPS_SHIFT 32

/* PARange above 48 bits needs another granule or descriptor format. */
#define PARANGE_48_BITS 5

/* SCTLR_EL1: the bits that are RES1 or say "as in ARMv8.0", stack alignment checks, I, C, M. */
#define SCTLR_LOW 0x181d
#define SCTLR_HIGH 0x30d0

	.text
	.globl	_start
_start:
	mov	x4, #MAIR
	msr	mair_el1, x4

	mov	x4, #TCR_LOW
	movk	x4, #TCR_HIGH, lsl #16
	mrs	x5, id_aa64mmfr0_el1
	and	x5, x5, #0xf
	mov	x6, #PARANGE_48_BITS
	cmp	x5, x6
	csel	x5, x5, x6, lo
	orr	x4, x4, x5, lsl #TCR_IPS_SHIFT
	msr	tcr_el1, x4

	msr	ttbr0_el1, x2
	msr	ttbr1_el1, x1
	isb
	tlbi	vmalle1
	ic	iallu
	dsb	nsh
	isb

	mov	x4, #SCTLR_LOW
	movk	x4, #SCTLR_HIGH, lsl #16
	msr	sctlr_el1, x4
	isb
	br	x3
