/* An operation of two instructions, for the test of the counting: marked_loop TIMES... */
#include <stdio.h>
#include <stdlib.h>

static void loop(long times)
{
#ifdef __x86_64__
	__asm__ volatile("1: decq %0\n\tjnz 1b" : "+r"(times));
#else
	__asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(times));
#endif
}

int main(int argc, char **argv)
{
	printf("Nobody counts what is done before.\n");
	for (int i = 1; i < argc; i++) {
		long times = atol(argv[i]);
		printf("calypso-bench: loop %ld\n", times);
		fflush(stdout);
		if (times == 0)
			return 0; /* there is no end */
		loop(times);
		printf("calypso-bench: end\n");
		fflush(stdout);
	}
	return 0;
}
