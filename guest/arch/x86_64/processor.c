/* x86_64: what the processor calls itself (CPUID; SDM volume 2). */
#include <arch/x86.h>
#include <calypso/arch.h>
#include <calypso/lib.h>
#include <calypso/text.h>

enum leaf {
	VENDOR = 0,
	VERSION = 1,
	STRUCTURED = 7,
	EXTENDED_MAX = 0x80000000,
	BRAND = 0x80000002,
	CACHES = 0x80000006,
};

/* Features of leaf 1 under Linux's names, by the bit of EDX, and of ECX. */
static const char *const in_edx[32] = {
	"fpu", "vme",  "de",   "pse",  "tsc", "msr", "pae", "mce",  "cx8", "apic", NULL,
	"sep", "mtrr", "pge",  "mca",  "cmov", "pat", "pse36", NULL, "clflush", NULL, NULL,
	NULL,  "mmx",  "fxsr", "sse",  "sse2", "ss",  "ht",  NULL, NULL, NULL,
};
static const char *const in_ecx[32] = {
	"pni", "pclmulqdq", NULL, NULL, NULL, NULL, NULL, NULL, NULL, "ssse3", NULL,
	NULL,  NULL, "cx16", NULL, NULL, NULL, "pcid", NULL, "sse4_1", "sse4_2", "x2apic",
	"movbe", "popcnt", NULL, "aes", NULL, NULL, NULL, NULL, "rdrand", "hypervisor",
};

/* Of leaves 1 and 7: those that work with the wide registers. As on a Linux with `noxsave` there are none
 * where threads keep only what FXSAVE stores. */
static const char *const wide_in_ecx[32] = {
	[12] = "fma", [26] = "xsave", [28] = "avx", [29] = "f16c",
};
static const char *const wide_in_structured[32] = {
	[5] = "avx2",
};
static const char *const widest_in_structured[32] = {
	[16] = "avx512f",  [17] = "avx512dq", [21] = "avx512ifma",
	[28] = "avx512cd", [30] = "avx512bw", [31] = "avx512vl",
};

static void add_features(struct text *text, uint32_t bits, const char *const names[32])
{
	for (unsigned i = 0; i < 32; i++) {
		if ((bits >> i & 1) != 0 && names[i] != NULL)
			text_add(text, " %s", names[i]);
	}
}

static void add_wide_features(struct text *text, uint32_t version)
{
	uint32_t structured = read_cpuid(STRUCTURED, 0).ebx;
	if ((fp_format.components & FP_AVX) != 0) {
		add_features(text, version, wide_in_ecx);
		add_features(text, structured, wide_in_structured);
	}
	if ((fp_format.components & FP_AVX512) != 0)
		add_features(text, structured, widest_in_structured);
}

/* The brand string: 48 bytes in three leaves. */
static void add_brand(struct text *text)
{
	char brand[49] = "";
	if (read_cpuid(EXTENDED_MAX, 0).eax < BRAND + 2)
		return;
	for (unsigned i = 0; i < 3; i++) {
		struct cpuid part = read_cpuid(BRAND + i, 0);
		memcpy(brand + 16 * i, &part, sizeof(part));
	}
	text_add(text, "model name\t: %s\n", brand);
}

/* Programs fit their working set into the cache of the second level. */
static void add_cache(struct text *text)
{
	if (read_cpuid(EXTENDED_MAX, 0).eax >= CACHES)
		text_add(text, "cache size\t: %u KB\n", read_cpuid(CACHES, 0).ecx >> 16);
}

void arch_describe_processor(struct text *text)
{
	struct cpuid vendor = read_cpuid(VENDOR, 0), version = read_cpuid(VERSION, 0);
	uint32_t family = version.eax >> 8 & 0xf, model = version.eax >> 4 & 0xf;
	char name[13] = "";
	memcpy(name, &vendor.ebx, 4);
	memcpy(name + 4, &vendor.edx, 4);
	memcpy(name + 8, &vendor.ecx, 4);
	/* The extended fields count for these families. */
	if (family == 0x6 || family == 0xf)
		model |= version.eax >> 12 & 0xf0;
	if (family == 0xf)
		family += version.eax >> 20 & 0xff;
	text_add(text, "vendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", name, family, model);
	add_brand(text);
	text_add(text, "stepping\t: %u\n", version.eax & 0xf);
	add_cache(text);
	text_add(text, "flags\t\t:");
	add_features(text, version.edx, in_edx);
	add_features(text, version.ecx, in_ecx);
	add_wide_features(text, version.ecx);
	text_add(text, " syscall nx lm\n");
}
