/* x86_64: the program's first instruction, and its system calls. */
#define SYS_write 1
#define SYS_exit_group 231

	.section .text._start, "ax"
	.globl	_start
	.type	_start, @function
_start:
	xor	%ebp, %ebp		/* the outermost frame */
	mov	(%rsp), %edi		/* argc */
	lea	8(%rsp), %rsi		/* argv */
	lea	8(%rsi, %rdi, 8), %rdx	/* envp, behind argv's NULL */
	call	main			/* the stack is aligned as the ABI wants it at a call */
	mov	%eax, %edi
	call	sys_exit
	.size	_start, . - _start

	.section .text.sys_write, "ax"
	.globl	sys_write
	.type	sys_write, @function
sys_write:
	mov	$SYS_write, %eax
	syscall
	ret
	.size	sys_write, . - sys_write

	.section .text.sys_exit, "ax"
	.globl	sys_exit
	.type	sys_exit, @function
sys_exit:
	mov	$SYS_exit_group, %eax
	syscall
	.size	sys_exit, . - sys_exit

	.section .rodata.architecture, "a"
	.globl	architecture
architecture:
	.asciz	"x86_64"
