/* What the VMM told us, checked once at boot. */
#ifndef CALYPSO_BOOTINFO_H
#define CALYPSO_BOOTINFO_H

#include <calypso/abi.h>
#include <calypso/types.h>

/* The kernel's copy, checked. What it points to stays where the VMM has put it; those pages are
 * kept when the rest of BOOT memory is freed. */
extern struct calypso_bootinfo bootinfo;

/* The regions, ascending and disjoint; `bootinfo.region_count` of them. */
extern struct calypso_region *bootinfo_regions;

/* The first region of this type, or NULL. */
const struct calypso_region *bootinfo_find(enum calypso_region_type type);

/* Add a region for registers of an early device, before the kernel's page table is built. Nothing
 * happens where a region is there already. */
void bootinfo_add_device(physical_t physical, uint64_t length, const char *name);

/* Whether the VMM offers this feature. */
static inline bool bootinfo_has(enum calypso_feature feature)
{
	return (bootinfo.features & feature) != 0;
}

/* The interrupt controller that the VMM tells of. */
static inline enum calypso_controller bootinfo_controller(void)
{
	if (!bootinfo_has(CALYPSO_FEATURE_CONTROLLER))
		return CALYPSO_CONTROLLER_NONE;
	return (enum calypso_controller)bootinfo.controller;
}

/* The command line, NUL-terminated. */
const char *command_line(void);

/* The value of the last `name=value` word on the command line, up to the next blank: its length,
 * `*value` pointing into the command line; -ENOENT where there is none. */
int command_line_find(const char *name, const char **value);

/* Call `act` for the value of each `name=value` word, in order. */
void command_line_each(const char *name, void (*act)(const char *value, size_t length));

/* The number given by `name=` (decimal, 0x…, 0…), else `fallback`. */
uint64_t command_line_number(const char *name, uint64_t fallback);

/* Whether `name=` is given with exactly this value. */
bool command_line_is(const char *name, const char *value);

/* The program's argument block, see `calypso_bootinfo.arguments`: argc + envc strings. */
const char *program_arguments(uint64_t *length);

#endif
