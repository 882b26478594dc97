/* Flattened device trees (Devicetree Specification v0.4, chapter 5), read in one pass. */
#ifndef CALYPSO_DEVICE_TREE_H
#define CALYPSO_DEVICE_TREE_H

#include <calypso/types.h>

enum device_property_name {
	DEVICE_COMPATIBLE,
	DEVICE_REG,
	DEVICE_INTERRUPTS,
	DEVICE_ADDRESS_CELLS,
	DEVICE_SIZE_CELLS,
	DEVICE_PROPERTIES,
};

struct device_property {
	const uint8_t *value; /* NULL where the node has none of this name */
	uint32_t length;
};

/* A node whose properties have been read; valid during the visit only. */
struct device_node {
	const char *name;
	struct device_property properties[DEVICE_PROPERTIES];
	uint32_t address_cells; /* of its parent: 32-bit words of an address in `reg` */
	uint32_t size_cells;
};

struct device_range {
	physical_t base;
	uint64_t length;
};

typedef void device_visitor(const struct device_node *node, void *context);

/* Call `visitor` for each node. Addresses are taken as the processor's: the buses of our boards
 * translate nothing. A tree that contradicts itself ends the walk; false then. */
bool device_tree_visit(physical_t tree, uint64_t length, device_visitor *visitor, void *context);

/* Whether `compatible` lists this string. */
bool device_node_is(const struct device_node *node, const char *compatible);

/* INTID of its first interrupt, as the binding of GICs tells it; 0 where there is none. */
unsigned device_node_interrupt(const struct device_node *node);

/* The `index`th range of `reg`; false past the last. */
bool device_node_range(const struct device_node *node, unsigned index, struct device_range *range);

#endif
