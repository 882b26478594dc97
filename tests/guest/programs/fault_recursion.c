/* A program that is killed: its stack is used up. */
#include <stdio.h>
#include <string.h>

static int recurse(volatile char *above, int depth)
{
	volatile char here[4000];
	here[0] = above[0];
	return depth == 0 ? 0 : recurse(here, depth - 1) + here[0];
}

int main(void)
{
	char first[1] = {0};
	printf("%d\n", recurse(first, 1500));
	fflush(stdout);
	printf("%d\n", recurse(first, 100000000));
	return 0;
}
