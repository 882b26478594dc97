/* Standard input: line by line, byte by byte, to its end. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	char line[100], byte;
	struct pollfd fd = {0, POLLIN, 0};
	printf("poll %d\n", poll(&fd, 1, 1000));
	printf("readable %d\n", (fd.revents & POLLIN) != 0);
	printf("one byte %zd ", read(0, &byte, 1));
	printf("%c\n", byte);
	printf("seek %ld errno %d\n", (long)lseek(0, 0, SEEK_CUR), errno);
	while (fgets(line, sizeof(line), stdin))
		printf("line: %s", line);
	printf("\nend %d, error %d\n", feof(stdin) != 0, ferror(stdin));
	printf("again %zd\n", read(0, &byte, 1));
	printf("write to input: %zd\n", write(0, "x", 1));
	printf("read from output: %zd\n", read(1, &byte, 1));
	fd.revents = 0;
	printf("poll %d\n", poll(&fd, 1, 1000));
	return 0;
}
