/* Jumps to the kernel's entry for system calls, argv[1], as if SYSCALL had: with the flags and the address
 * to return to that argv[2] and argv[3] give (0: behind the jump). It makes getpid. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments)
{
	uint64_t entry = strtoull(arguments[1], NULL, 16);
	uint64_t flags = strtoull(arguments[2], NULL, 16), back = strtoull(arguments[3], NULL, 16);
	uint64_t result = 39, after;
	(void)count;
	__asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
			 "test %[back], %[back]\n\t"
			 "cmovnz %[back], %%rcx\n\t"
			 "mov %[flags], %%r11\n\t"
			 "std\n\t"
			 "jmp *%[entry]\n"
			 "1:\tpushf\n\t"
			 "pop %[after]\n\t"
			 "cld"
			 : "+a"(result), [after] "=&r"(after)
			 : [entry] "r"(entry), [flags] "r"(flags), [back] "r"(back)
			 : "rcx", "r11", "memory", "cc");
	printf("result %lu, privileged flags %#lx\n", result, after & 0x37200);
	return 0;
}
