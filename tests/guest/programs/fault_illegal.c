/* A program that is killed: an instruction that no processor has. */
#include <stdio.h>

int main(void)
{
	printf("before\n");
	fflush(stdout);
#ifdef __x86_64__
	__asm__ volatile("ud2");
#else
	__asm__ volatile("udf #0");
#endif
	printf("after\n");
	return 0;
}
