/* Floating-point and vector registers live through system calls and page faults. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef float vector __attribute__((vector_size(16)));

int main(void)
{
	double sum = 0;
	vector total = {0, 0, 0, 0};
	volatile char *pages = mmap(NULL, 1000 * 4096, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 1; i <= 1000; i++) {
		vector step = {(float)i, (float)i / 2, (float)i / 4, 1};
		sum += 1.0 / i;
		total += step;
		pages[(i - 1) * 4096] = 1;
		getppid();
	}
	printf("%.15f %.1f %.1f %.1f %.1f\n", sum, total[0], total[1], total[2], total[3]);
	printf("%.12f %.12f %.12f\n", sqrt(2), sin(1), pow(2, 0.5));
	printf("%a %e %g\n", 0.1, 1e300, 1e-5);
	return 0;
}
