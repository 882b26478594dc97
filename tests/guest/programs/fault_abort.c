/* A program that is killed: it aborts. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	printf("before\n");
	fflush(stdout);
	abort();
	printf("after\n");
	return 0;
}
