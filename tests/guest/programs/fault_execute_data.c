/* A program that is killed: it runs data. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	printf("before\n");
	fflush(stdout);
	static char code[16]; ((void (*)(void))code)();
	printf("after\n");
	return 0;
}
