/* What the kernel says of itself and the processor: the auxiliary vector, /proc/self/auxv, and on
 * arm64 the registers that Linux reads in the program's place. */
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "show.h"

/* Whether the file says what the program was given, to its end. */
static int file_is_right(void)
{
	Elf64_auxv_t entries[64];
	int fd = open("/proc/self/auxv", O_RDONLY);
	int count = (int)(read(fd, entries, sizeof(entries)) / (ssize_t)sizeof(*entries));
	close(fd);
	for (int i = 0; i < count; i++) {
		if (entries[i].a_type == AT_NULL)
			return i == count - 1;
		if (entries[i].a_un.a_val != getauxval(entries[i].a_type))
			return 0;
	}
	return 0;
}

/* Whether the registers agree with AT_HWCAP. */
static int registers_are_right(void)
{
#ifdef __aarch64__
	unsigned long isar0, pfr0, other, capabilities = getauxval(AT_HWCAP);
	__asm__ volatile("mrs %0, id_aa64isar0_el1" : "=r"(isar0));
	__asm__ volatile("mrs %0, id_aa64pfr0_el1" : "=r"(pfr0));
	__asm__ volatile("mrs %0, id_aa64dfr1_el1" : "=r"(other));
	__asm__ volatile("mrs xzr, midr_el1");
	int aes = (isar0 >> 4 & 0xf) != 0, crc32 = (isar0 >> 16 & 0xf) != 0;
	return aes == (int)(capabilities >> 3 & 1) && crc32 == (int)(capabilities >> 7 & 1) &&
	       (pfr0 & 0xf) == 1 && other == 0;
#else
	return 1;
#endif
}

int main(void)
{
	SHOW(getauxval(AT_PAGESZ));
	SHOW(strlen((char *)getauxval(AT_PLATFORM)) > 0);
	SHOW(file_is_right());
	SHOW(registers_are_right());
	return 0;
}
