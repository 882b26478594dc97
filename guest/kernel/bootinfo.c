/* Bootinfo and the kernel's command line. */
#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/bootinfo.h>
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <calypso/stack.h>

/* What every VMM of this ABI version fills; features tell of what lies behind. */
#define BOOTINFO_LEAST offsetof(struct calypso_bootinfo, generation)

/* What the VMM reads to see that this is its kernel: an ELF note with the ABI version. */
static const struct {
	uint32_t name_size, descriptor_size, type;
	char name[8];
	uint32_t abi_version;
} elf_note __attribute__((section(".note.calypso"), used, aligned(4))) = {
	8, 4, 1, "Calypso", CALYPSO_ABI_VERSION,
};

struct calypso_bootinfo bootinfo;
struct calypso_region *bootinfo_regions;

static void check_region(const struct calypso_region *region, uint64_t end_before)
{
	uint64_t end;

	bool wraps = __builtin_add_overflow(region->physical, region->length, &end);

	if ((((region->physical | region->virtual | region->length) & PAGE_MASK) != 0) |
	    (region->length == 0) | (region->physical < end_before) | wraps |
	    (end > DIRECT_MAP_SIZE))
		panic("bootinfo: region \"%.16s\" at 0x%lx, length 0x%lx, is not valid",
		      region->name, region->physical, region->length);
}

void bootinfo_initialize(physical_t address)
{
	struct calypso_bootinfo *given = phys_to_virt(address);
	uint64_t end = 0;

	/* Without the right magic nothing in it can be believed, not even the doorbell. */
	if (given->magic != CALYPSO_BOOTINFO_MAGIC)
		arch_halt();
	bootinfo = *given;
	memset(given->seed, 0, sizeof(given->seed));
	if (bootinfo_has(CALYPSO_FEATURE_STACK_GUARD))
		stack_guard_initialize(bootinfo.stack_guard);
	given->stack_guard = bootinfo.stack_guard = 0;
	if (bootinfo.version != CALYPSO_ABI_VERSION || bootinfo.size < BOOTINFO_LEAST)
		panic("bootinfo: version %u of %u bytes, this kernel speaks version %u of %zu",
		      bootinfo.version, bootinfo.size, CALYPSO_ABI_VERSION, BOOTINFO_LEAST);

	bootinfo_regions = phys_to_virt(bootinfo.regions);
	for (unsigned i = 0; i < bootinfo.region_count; i++) {
		check_region(&bootinfo_regions[i], end);
		end = bootinfo_regions[i].physical + bootinfo_regions[i].length;
	}
	log_level = (enum log_level)command_line_number("loglevel", LOG_NONE);
}

__attribute__((noinline)) const struct calypso_region *bootinfo_find(enum calypso_region_type type)
{
	for (unsigned i = 0; i < bootinfo.region_count; i++)
		if (bootinfo_regions[i].type == type)
			return &bootinfo_regions[i];
	return NULL;
}

void bootinfo_add_device(physical_t physical, uint64_t length, const char *name)
{
	physical_t start = ALIGN_DOWN(physical, PAGE_SIZE);
	physical_t end = ALIGN_UP(physical + length, PAGE_SIZE);
	unsigned i = bootinfo.region_count;

	while (i > 0 && bootinfo_regions[i - 1].physical >= start)
		i--;
	/* What is described already stays as it is. */
	if (i > 0 && bootinfo_regions[i - 1].physical + bootinfo_regions[i - 1].length > start)
		return;
	if (i < bootinfo.region_count && bootinfo_regions[i].physical < end)
		return;
	if (bootinfo.region_count == bootinfo.region_capacity)
		panic("bootinfo: no room for the region of device %s", name);

	memmove(&bootinfo_regions[i + 1], &bootinfo_regions[i],
		(bootinfo.region_count - i) * sizeof(struct calypso_region));
	bootinfo_regions[i] = (struct calypso_region){
		.physical = start,
		.virtual = start + DIRECT_MAP_BASE,
		.length = end - start,
		.type = CALYPSO_REGION_DEVICE,
		.flags = CALYPSO_REGION_READ | CALYPSO_REGION_WRITE,
	};
	strlcpy(bootinfo_regions[i].name, name, sizeof(bootinfo_regions[i].name));
	bootinfo.region_count++;
}

const char *command_line(void)
{
	return phys_to_virt(bootinfo.command_line);
}

/* The value of the next `name=value` word from `*at` on, and its length; NULL where there is none.
 * `*at` moves behind it. */
static const char *next_value(const char **at, const char *name, size_t *value_length)
{
	size_t name_length = strlen(name);

	for (const char *word = *at; *word != 0;) {
		size_t length = 0;
		const char *value = NULL;

		while (word[length] != 0 && word[length] != ' ')
			length++;
		if (length > name_length && word[name_length] == '=' &&
		    memcmp(word, name, name_length) == 0) {
			value = word + name_length + 1;
			*value_length = length - name_length - 1;
		}
		word += length;
		while (*word == ' ')
			word++;
		*at = word;
		if (value)
			return value;
	}
	return NULL;
}

int command_line_find(const char *name, const char **value)
{
	const char *at = command_line();
	const char *next;
	size_t length;
	int found = -ENOENT;

	while ((next = next_value(&at, name, &length))) {
		*value = next;
		found = (int)length;
	}
	return found;
}

void command_line_each(const char *name, void (*act)(const char *value, size_t length))
{
	const char *at = command_line();
	const char *value;
	size_t length;

	while ((value = next_value(&at, name, &length)))
		act(value, length);
}

uint64_t command_line_number(const char *name, uint64_t fallback)
{
	const char *value;
	uint64_t number;

	if (command_line_find(name, &value) < 0 || !parse_number(&value, 0, &number) ||
	    (*value != 0 && *value != ' '))
		return fallback;
	return number;
}

bool command_line_is(const char *name, const char *value)
{
	const char *given;
	int length = command_line_find(name, &given);

	return length >= 0 && (size_t)length == strlen(value) &&
	       memcmp(given, value, (size_t)length) == 0;
}

const char *program_arguments(uint64_t *length)
{
	*length = bootinfo.arguments_length;
	return phys_to_virt(bootinfo.arguments);
}
