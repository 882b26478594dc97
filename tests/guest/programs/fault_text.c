/* A program that is killed: it writes to its code. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	printf("before\n");
	fflush(stdout);
	*(volatile char *)(unsigned long)main = 1;
	printf("after\n");
	return 0;
}
