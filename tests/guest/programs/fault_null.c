/* A program that is killed: it writes near address 0. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	printf("before\n");
	fflush(stdout);
	*(volatile int *)16 = 1;
	printf("after\n");
	return 0;
}
