/* The smallest guest of QEMU's microvm: a PVH kernel that prints a line on COM1 and leaves. */
	.section .note.Xen, "a", @note
	.long	4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	_start

	.text
	.code32
	.globl	_start
_start:
	mov	$message, %esi
	mov	$0x3f8, %edx
1:	lodsb
	test	%al, %al
	jz	2f
	outb	%al, (%dx)
	jmp	1b
2:	xor	%eax, %eax
	mov	$0xf4, %edx		/* isa-debug-exit: the process ends with status 1 */
	outl	%eax, (%dx)
3:	hlt
	jmp	3b

	.globl	message
message:
	.asciz	"Hello from a guest!\n"
