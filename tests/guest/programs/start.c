/* What a program finds at its first instruction: arguments, environment, auxiliary vector. */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

extern char **environ;

static const char *yes(int condition) { return condition ? "yes" : "no"; }

static int has_load(const Elf64_Phdr *headers, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		if (headers[i].p_type == PT_LOAD)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	static const uint8_t zeros[16];
	const uint8_t *random = (const uint8_t *)getauxval(AT_RANDOM);
	const char *platform = (const char *)getauxval(AT_PLATFORM);

	printf("argc %d\n", argc);
	for (int i = 1; i < argc; i++)
		printf("argv[%d] %s\n", i, argv[i]);
	printf("argv ends: %s\n", yes(argv[argc] == NULL));
	for (char **variable = environ; *variable; variable++)
		printf("environment: %s\n", *variable);
	printf("AT_PAGESZ %lu, sysconf %ld\n", getauxval(AT_PAGESZ), sysconf(_SC_PAGESIZE));
	printf("AT_CLKTCK %lu\n", getauxval(AT_CLKTCK));
	printf("AT_SECURE %lu AT_UID %lu AT_EUID %lu AT_GID %lu AT_EGID %lu\n",
	       getauxval(AT_SECURE), getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_GID),
	       getauxval(AT_EGID));
	printf("AT_PHENT %lu\n", getauxval(AT_PHENT));
	printf("program headers: %s\n",
	       yes(has_load((const Elf64_Phdr *)getauxval(AT_PHDR), getauxval(AT_PHNUM))));
	printf("AT_EXECFN is argv[0]: %s\n",
	       yes(strcmp((char *)getauxval(AT_EXECFN), argv[0]) == 0));
	printf("AT_RANDOM: %s\n", yes(memcmp(random, zeros, sizeof(zeros)) != 0));
	printf("AT_PLATFORM: %s\n", yes(platform && strlen(platform) > 0));
	printf("AT_BASE: %lu\n", getauxval(AT_BASE));
	printf("stack near: %s\n", yes((char *)environ - (char *)&argc < 1 << 16));
	return 42;
}
