/* arm64: the program's first instruction, and its system calls. */
#define SYS_write 64
#define SYS_exit_group 94

	.section .text._start, "ax"
	.globl	_start
	.type	_start, %function
_start:
	mov	x29, xzr		/* the outermost frame */
	mov	x30, xzr
	ldr	w0, [sp]		/* argc */
	add	x1, sp, #8		/* argv */
	add	x2, x1, x0, lsl #3	/* envp, behind argv's NULL */
	add	x2, x2, #8
	bl	main
	b	sys_exit
	.size	_start, . - _start

	.section .text.sys_write, "ax"
	.globl	sys_write
	.type	sys_write, %function
sys_write:
	mov	x8, #SYS_write
	svc	#0
	ret
	.size	sys_write, . - sys_write

	.section .text.sys_exit, "ax"
	.globl	sys_exit
	.type	sys_exit, %function
sys_exit:
	mov	x8, #SYS_exit_group
	svc	#0
	.size	sys_exit, . - sys_exit

	.section .rodata.architecture, "a"
	.globl	architecture
architecture:
	.asciz	"arm64"
