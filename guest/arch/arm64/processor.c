/* arm64: what the processor calls itself (MIDR_EL1; Arm ARM D19.2.98). */
#include <calypso/arch.h>
#include <calypso/text.h>

/* Bits of AT_HWCAP under Linux's names, as far as arch_hwcap knows them. */
static const char *const names[] = {
	"fp", "asimd", NULL, "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp",
};

void arch_describe_processor(struct text *text)
{
	uint64_t midr;
	__asm__("mrs %0, midr_el1" : "=r"(midr));
	text_add(text, "Features\t:");
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if ((arch_hwcap() >> i & 1) != 0 && names[i] != NULL)
			text_add(text, " %s", names[i]);
	}
	text_add(text, "\nCPU implementer\t: 0x%02x\nCPU architecture: 8\n",
		 (unsigned)(midr >> 24 & 0xff));
	text_add(text, "CPU variant\t: 0x%x\nCPU part\t: 0x%03x\nCPU revision\t: %u\n",
		 (unsigned)(midr >> 20 & 0xf), (unsigned)(midr >> 4 & 0xfff),
		 (unsigned)(midr & 0xf));
}
