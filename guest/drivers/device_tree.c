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

struct walk {
	const uint8_t *at, *end; /* in the structure block */
	const char *strings;
	uint32_t strings_size;
	unsigned depth;
	struct cells cells[DEPTH_MAX]; /* of the node at each depth, for its children */
	struct device_node node;       /* the innermost, while its properties come */
	bool open;		       /* the node has not been visited yet */
};

static uint32_t big_endian(const void *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return __builtin_bswap32(value);
}

#define header_field(blob, name) big_endian((blob) + offsetof(struct header, name))

static bool take_word(struct walk *walk, uint32_t *word)
{
	if (walk->end - walk->at < (ptrdiff_t)sizeof(*word))
		return false;
	*word = big_endian(walk->at);
	walk->at += sizeof(*word);
	return true;
}

/* Take bytes and the padding to the next word. */
static const uint8_t *take_bytes(struct walk *walk, uint64_t length)
{
	const uint8_t *bytes = walk->at;
	uint64_t padded = ALIGN_UP(length, sizeof(uint32_t));

	if ((uint64_t)(walk->end - walk->at) < padded)
		return NULL;
	walk->at += padded;
	return bytes;
}

static void close_properties(struct walk *walk, device_visitor *visitor, void *context)
{
	if (walk->open)
		visitor(&walk->node, context);
	walk->open = false;
}

static bool begin_node(struct walk *walk)
{
	const char *name = (const char *)walk->at;
	size_t room = (size_t)(walk->end - walk->at);
	size_t length = strnlen(name, room);
	struct cells parent = {2, 1}; /* the defaults of section 2.3.5 */

	if (length == room || walk->depth == DEPTH_MAX || !take_bytes(walk, length + 1))
		return false;
	if (walk->depth > 0)
		parent = walk->cells[walk->depth - 1];
	walk->cells[walk->depth++] = (struct cells){2, 1};
	walk->node = (struct device_node){
		.name = name, .address_cells = parent.address, .size_cells = parent.size};
	walk->open = true;
	return true;
}

/* Keep what is wanted of a property. Most names differ in their first letter. */
static void keep_property(struct walk *walk, const char *name, const uint8_t *value,
			  uint32_t length)
{
	struct cells *cells = &walk->cells[walk->depth - 1];

	if (name[0] == 'r' && strcmp(name, "reg") == 0) {
		walk->node.reg = value;
		walk->node.reg_length = length;
	} else if (name[0] == 'c' && strcmp(name, "compatible") == 0) {
		walk->node.compatible = (const char *)value;
		walk->node.compatible_length = length;
	} else if (name[0] == 'i' && strcmp(name, "interrupts") == 0) {
		if (length >= 2 * sizeof(uint32_t))
			walk->node.interrupt =
				big_endian(value + sizeof(uint32_t)) +
				(big_endian(value) == 0 ? FIRST_SPI : FIRST_PPI);
	} else if (name[0] == '#' && length == sizeof(uint32_t)) {
		if (strcmp(name, "#address-cells") == 0)
			cells->address = big_endian(value);
		else if (strcmp(name, "#size-cells") == 0)
			cells->size = big_endian(value);
	}
}

static bool read_property(struct walk *walk)
{
	uint32_t length, name_offset;

	if (!take_word(walk, &length) || !take_word(walk, &name_offset))
		return false;
	const uint8_t *value = take_bytes(walk, length);
	if (!value || !walk->open || name_offset >= walk->strings_size)
		return false;

	keep_property(walk, walk->strings + name_offset, value, length);
	return true;
}

static bool walk_tokens(struct walk *walk, device_visitor *visitor, void *context)
{
	uint32_t token;

	while (take_word(walk, &token)) {
		switch (token) {
		case BEGIN_NODE:
			close_properties(walk, visitor, context);
			if (!begin_node(walk))
				return false;
			break;
		case PROPERTY:
			if (!read_property(walk))
				return false;
			break;
		case END_NODE:
			close_properties(walk, visitor, context);
			if (walk->depth == 0)
				return false;
			walk->depth--;
			break;
		case NOP:
			break;
		case END:
			return walk->depth == 0;
		default:
			return false;
		}
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
	};
	return walk_tokens(&walk, visitor, context);
}

bool device_node_is(const struct device_node *node, const char *compatible)
{
	size_t wanted = strlen(compatible) + 1;
	const char *at = node->compatible;

	if (!at)
		return false;
	const char *end = at + node->compatible_length;
	while (at < end) {
		size_t length = strnlen(at, (size_t)(end - at)) + 1;

		if (length == wanted && at + length <= end && memcmp(at, compatible, length) == 0)
			return true;
		at += length;
	}
	return false;
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

	if (offset + stride > node->reg_length)
		return false;
	const uint8_t *at = node->reg + offset;
	range->base = read_cells(at, node->address_cells);
	range->length = read_cells(at + node->address_cells * sizeof(uint32_t), node->size_cells);
	return true;
}
