/* The reader of flattened device trees. */
#include <calypso/device_tree.h>
#include <calypso/lib.h>
#include <calypso/mm.h>

#define MAGIC 0xd00dfeedu
#define DEPTH_MAX 16

/* Interrupts are counted within their type: shared (0) or a processor's own. */
enum { FIRST_PPI = 16, FIRST_SPI = 32 };

enum token { BEGIN_NODE = 1, END_NODE = 2, PROPERTY = 3, NOP = 4, END = 9 };

struct header {
	uint32_t magic;
	uint32_t total_size;
	uint32_t structure_offset;
	uint32_t strings_offset;
	uint32_t reservation_offset;
	uint32_t version;
	uint32_t last_compatible_version;
	uint32_t boot_cpu;
	uint32_t strings_size;
	uint32_t structure_size;
};

/* What the children of a node inherit. */
struct cells {
	uint32_t address;
	uint32_t size;
};

static const struct cells default_cells = {2, 1}; /* section 2.3.5 */

static const char *const property_names[DEVICE_PROPERTIES] = {
	[DEVICE_COMPATIBLE] = "compatible",
	[DEVICE_REG] = "reg",
	[DEVICE_INTERRUPTS] = "interrupts",
	[DEVICE_ADDRESS_CELLS] = "#address-cells",
	[DEVICE_SIZE_CELLS] = "#size-cells",
};

struct walk {
	const uint8_t *at, *end; /* in the structure block; whole words */
	const char *strings;
	uint32_t strings_size;
	unsigned depth;
	struct cells cells[DEPTH_MAX + 1]; /* what the node at each depth has inherited */
	struct device_node node;	   /* the innermost, while its properties come */
	bool open;			   /* the node has not been visited yet */
};

static uint32_t big_endian(const void *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return __builtin_bswap32(value);
}

#define header_field(blob, name) big_endian((blob) + offsetof(struct header, name))

/* Take bytes and the padding to the next word. NULL, and nothing more to take, if they are too many. */
static const uint8_t *take(struct walk *walk, uint64_t length)
{
	const uint8_t *bytes = walk->at;
	uint64_t padded = ALIGN_UP(length, sizeof(uint32_t));
	bool there = padded <= (uint64_t)(walk->end - bytes);

	walk->at = there ? bytes + padded : walk->end;
	return there ? bytes : NULL;
}

/* One cell, or what it is by default. */
static uint32_t cell(const struct device_property *property, uint32_t otherwise)
{
	return property->length == sizeof(uint32_t) ? big_endian(property->value) : otherwise;
}

/* The properties of a node are all before its children. */
static void close_properties(struct walk *walk, device_visitor *visitor, void *context)
{
	const struct device_property *properties = walk->node.properties;

	if (!walk->open)
		return;
	walk->open = false;
	walk->cells[walk->depth] = (struct cells){
		cell(&properties[DEVICE_ADDRESS_CELLS], default_cells.address),
		cell(&properties[DEVICE_SIZE_CELLS], default_cells.size),
	};
	visitor(&walk->node, context);
}

static bool begin_node(struct walk *walk)
{
	const char *name = (const char *)walk->at;
	size_t length = strnlen(name, (size_t)(walk->end - walk->at));

	if (walk->depth == DEPTH_MAX || !take(walk, length + 1))
		return false;
	const struct cells *cells = &walk->cells[walk->depth++];
	walk->node = (struct device_node){
		.name = name, .address_cells = cells->address, .size_cells = cells->size};
	walk->open = true;
	return true;
}

static bool read_property(struct walk *walk)
{
	const uint8_t *numbers = take(walk, 2 * sizeof(uint32_t));
	if (!numbers)
		return false;
	uint32_t length = big_endian(numbers);
	uint32_t name_offset = big_endian(numbers + sizeof(uint32_t));
	const uint8_t *value = take(walk, length);
	if (!value || !walk->open || name_offset >= walk->strings_size)
		return false;

	const char *name = walk->strings + name_offset;
	for (unsigned i = 0; i < DEVICE_PROPERTIES; i++)
		if (*name == *property_names[i] && strcmp(name, property_names[i]) == 0)
			walk->node.properties[i] = (struct device_property){value, length};
	return true;
}

static bool walk_tokens(struct walk *walk, device_visitor *visitor, void *context)
{
	const uint8_t *word;

	while ((word = take(walk, sizeof(uint32_t)))) {
		uint32_t token = big_endian(word);

		if (token == PROPERTY) {
			if (!read_property(walk))
				return false;
			continue;
		}
		if (token == NOP)
			continue;
		close_properties(walk, visitor, context);
		if (token == BEGIN_NODE) {
			if (!begin_node(walk))
				return false;
			continue;
		}
		if (token != END_NODE || walk->depth == 0)
			return token == END && walk->depth == 0;
		walk->depth--;
	}
	return false;
}

bool device_tree_visit(physical_t tree, uint64_t length, device_visitor *visitor, void *context)
{
	const uint8_t *blob = phys_to_virt(tree);

	if (length < sizeof(struct header) || header_field(blob, magic) != MAGIC)
		return false;
	uint64_t structure = header_field(blob, structure_offset);
	uint64_t structure_size = header_field(blob, structure_size);
	uint64_t strings = header_field(blob, strings_offset);
	uint64_t strings_size = header_field(blob, strings_size);

	/* The strings block ends with a NUL, so that no name runs out of it. */
	if (structure + structure_size > length || strings + strings_size > length ||
	    strings_size == 0 || blob[strings + strings_size - 1] != 0)
		return false;
	struct walk walk = {
		.at = blob + structure,
		.end = blob + structure + structure_size,
		.strings = (const char *)blob + strings,
		.strings_size = (uint32_t)strings_size,
		.cells = {default_cells},
	};
	return walk_tokens(&walk, visitor, context);
}

bool device_node_is(const struct device_node *node, const char *compatible)
{
	size_t wanted = strlen(compatible) + 1;
	const struct device_property *property = &node->properties[DEVICE_COMPATIBLE];
	const char *at = (const char *)property->value;
	const char *end = at + property->length;

	while (at < end) {
		size_t length = strnlen(at, (size_t)(end - at)) + 1;

		if (length == wanted && at + length <= end && memcmp(at, compatible, length) == 0)
			return true;
		at += length;
	}
	return false;
}

unsigned device_node_interrupt(const struct device_node *node)
{
	const struct device_property *property = &node->properties[DEVICE_INTERRUPTS];

	if (property->length < 2 * sizeof(uint32_t))
		return 0;
	return big_endian(property->value + sizeof(uint32_t)) +
	       (big_endian(property->value) == 0 ? FIRST_SPI : FIRST_PPI);
}

static uint64_t read_cells(const uint8_t *at, uint32_t cells)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < cells; i++)
		value = value << 32 | big_endian(at + i * sizeof(uint32_t));
	return value;
}

bool device_node_range(const struct device_node *node, unsigned index, struct device_range *range)
{
	if (node->address_cells > 2 || node->size_cells > 2 || node->address_cells == 0)
		return false;
	uint64_t stride = (node->address_cells + node->size_cells) * sizeof(uint32_t);
	uint64_t offset = index * stride;

	const struct device_property *reg = &node->properties[DEVICE_REG];
	if (offset + stride > reg->length)
		return false;
	const uint8_t *at = reg->value + offset;
	range->base = read_cells(at, node->address_cells);
	range->length = read_cells(at + node->address_cells * sizeof(uint32_t), node->size_cells);
	return true;
}
