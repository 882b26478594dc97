/* hello: a friendly greeting, its architecture, and what it was told. Runs on Linux as well. */
#include <runtime.h>

#define LINE_SIZE 1024

/* Text that is written in one go; what does not fit is left out. */
struct line {
	char bytes[LINE_SIZE];
	unsigned long length;
};

static void add(struct line *line, const char *text)
{
	while (*text != '\0' && line->length < LINE_SIZE)
		line->bytes[line->length++] = *text++;
}

int main(int argc, char **argv, char **envp)
{
	static struct line line;

	(void)envp;
	add(&line, "Hello from a small ");
	add(&line, architecture);
	add(&line, " program, and welcome!\n");
	if (argc > 1) {
		add(&line, "You told me:");
		for (int i = 1; i < argc; i++) {
			add(&line, " ");
			add(&line, argv[i]);
		}
		add(&line, "\n");
	}
	return sys_write(1, line.bytes, line.length) == (long)line.length ? 0 : 1;
}
